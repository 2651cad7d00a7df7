// A click on a header sorts its table: numbers by size, with their decimal prefixes, other text by the alphabet.
"use strict";
const prefixes = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 };
function valueOf(cell) {
	const text = cell.textContent.trim();
	const match = text.match(/^([+-]?\d[\d.]*(?:e[+-]?\d+)?)\s?([kMGTPE])?(?![a-z])/);
	return match ? { number: parseFloat(match[1]) * (prefixes[match[2]] || 1), text } : { number: NaN, text };
}
function compare(a, b) {
	if (isNaN(a.number) !== isNaN(b.number)) return isNaN(a.number) ? 1 : -1;
	return isNaN(a.number) ? a.text.localeCompare(b.text) : a.number - b.number;
}
function sort(header) {
	const rising = header.getAttribute("aria-sort") !== "ascending";
	const body = header.closest("table").tBodies[0];
	const rows = Array.from(body.rows, row => ({ row, value: valueOf(row.cells[header.cellIndex]) }));
	rows.sort((a, b) => (rising ? 1 : -1) * compare(a.value, b.value));
	for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
	header.setAttribute("aria-sort", rising ? "ascending" : "descending");
	body.append(...rows.map(r => r.row));
}
for (const header of document.querySelectorAll("th")) {
	header.tabIndex = 0;
	header.addEventListener("click", () => sort(header));
	header.addEventListener("keydown", event => { if (event.key === "Enter") sort(header); });
}
