// Drives the page of netadjust serve in Chromium, see browser. The argument is a folder to work in.
'use strict';
const assert = require('node:assert/strict');
const {spawn, execFileSync} = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const {chromium} = require('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

process.exitCode = 1; // until all is done
const work = process.argv[2];
const netadjust = path.resolve('bin/netadjust');
process.env.NETADJUST_DATA = path.join(work, 'data');
const file = path.join(work, 'page.toml'), out = path.join(work, 'out');
fs.writeFileSync(file, `name = "page"
[data]
train      = 512
validation = 64
test       = 64
[train]
epochs  = 3
batch   = 16
augment = "pad-crop"
[search]
epochs            = 1
iterations        = 2
layers_per_update = 1
rate              = 0.25
repeats           = 1
[[matrix]]
network = "resnet8"
width   = 0.5
dataset = "mnist"
method  = ["uniform", "adjust"]
budget  = [1.0, 0.5]
seed    = [1, 2]
`);
const run = (...args) => execFileSync(netadjust, args, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']});
const status = () => JSON.parse(run('status', out, '--json'));

// serve starts a server and returns its address and how to end it.
async function serve(folder, ...args) {
	const child = spawn(netadjust, ['serve', folder, ...args], {stdio: ['ignore', 'pipe', 'inherit']});
	const url = await new Promise((resolve, reject) => {
		child.stdout.once('data', text => resolve(String(text).trim()));
		child.once('exit', code => reject(new Error('netadjust serve ended with ' + code)));
	});
	const ended = new Promise(resolve => child.once('exit', resolve));
	return {url, end: () => { child.kill('SIGINT'); return ended; }};
}

const step = text => console.log('  ' + text);
const shoot = async (page, name) => {
	if (process.env.SCREENSHOTS) await page.screenshot({path: path.join(process.env.SCREENSHOTS, name + '.png')});
};

// contrast is that of the page's text to its ground, by WCAG.
const contrast = page => page.evaluate(() => {
	const light = css => css.match(/[\d.]+/g).slice(0, 3).map(v => v / 255)
		.map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const style = getComputedStyle(document.body);
	const [a, b] = [light(style.color), light(style.backgroundColor)];
	return {ratio: (Math.max(a, b) + .05) / (Math.min(a, b) + .05), dark: b < .5};
});

async function accessible(page, what) {
	await page.evaluate(axe + ';0');
	const {violations} = await page.evaluate(() => axe.run());
	assert.deepEqual(violations.map(v => `${v.id}: ${v.nodes.map(n => n.html.slice(0, 200)).join(' | ')}`), [], what);
}

(async () => {
	run('data', 'get', 'mnist');
	run('run', file, '--out', out, '--shard', '0/2', '--quiet');
	const half = status();
	assert.equal(half.counts.done, 4);
	let server = await serve(out, '--listen', 'localhost:0');
	const browser = await chromium.launch({executablePath: process.env.CHROMIUM, args: ['--no-sandbox']});
	try {
		const context = await browser.newContext({viewport: {width: 1100, height: 900}});
		const page = await context.newPage();
		const troubles = [], elsewhere = [];
		page.on('console', m => { if (m.type() === 'error') troubles.push(m.text()); });
		page.on('pageerror', e => troubles.push(String(e)));
		page.on('request', r => { if (!r.url().startsWith(server.url) && !r.url().startsWith('data:')) elsewhere.push(r.url()); });

		step('the page shows what status tells');
		await page.goto(server.url);
		await page.waitForFunction(() => document.querySelectorAll('#matrix button').length === 8);
		assert.equal(await page.title(), '4/8 page');
		assert.equal(await page.textContent('#counts'), '8 cells: 4 done, 4 pending');
		for (const c of half.cells) {
			const want = c.state === 'done' ? (100 * c.test_top1).toFixed(2) + ' %' : c.state;
			assert.equal(await page.textContent(`[data-id="${c.id}"]`), want, c.id);
		}
		await page.waitForSelector('#figures svg path.line, #figures svg path.s0');

		step('it can be used with the keyboard alone');
		await page.keyboard.press('Tab');
		while (!await page.evaluate(() => document.activeElement.closest('#matrix td'))) await page.keyboard.press('Tab');
		const focused = () => page.evaluate(() => document.activeElement.dataset.id || '');
		const first = await focused();
		await page.keyboard.press('ArrowDown');
		const below = await focused();
		assert.notEqual(below, first);
		await page.keyboard.press('ArrowUp');
		assert.equal(await focused(), first);
		await page.keyboard.press('ArrowRight');
		assert.match(await focused(), /-s2-/);
		assert.equal(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'solid');
		const search = half.cells.find(c => c.id.includes('-adjust-') && c.state === 'done').id;
		await page.focus(`[data-id="${search}"]`);
		await page.keyboard.press('Enter');
		await page.waitForFunction(id => document.querySelector('#cell strong')?.textContent === id, search);
		assert.equal(decodeURIComponent(new URL(page.url()).hash.slice(1)), search);

		step('a search has its utilization ratios, widths and learning curves');
		const record = JSON.parse(fs.readFileSync(path.join(out, 'cells', search, 'record.json'), 'utf8')).result;
		const layers = record.layers.length, updates = record.updates.length;
		const titles = await page.$$eval('#cell svg rect title', all => all.map(t => t.textContent));
		assert.equal(titles.length, layers * updates + layers * (updates + 1));
		assert.ok(titles.includes(`update 1, ${record.layers[0]}: ${String(Number(record.updates[0].fur[0].toPrecision(3)))}`), titles[0]);
		assert.ok(titles.some(t => t.startsWith(`${record.layers[0]}: ${record.updates[0].next[0]} channels`)));
		assert.equal(await page.locator('#cell svg[aria-label^="training "] .line').count(), 2);
		await accessible(page, 'light');
		await shoot(page, 'light');

		step('it updates by itself'); // what runs is gone within a second on a fast machine
		const rest = spawn(netadjust, ['run', file, '--out', out, '--jobs', '1', '--quiet'], {stdio: 'ignore'});
		const ended = new Promise(resolve => rest.once('exit', resolve));
		await page.waitForFunction(() => document.getElementById('counts').textContent === '8 cells: 8 done', null, {timeout: 120000});
		assert.equal(await ended, 0);
		assert.equal(await page.title(), '8/8 page');
		assert.equal(await page.evaluate(() => document.activeElement.dataset.id), search, 'the focus has moved');
		assert.ok(await page.locator('#figures svg path.line').count() >= 2);
		assert.ok(await page.locator('#now').isHidden());

		step('it notices when the server is gone, and when it is back');
		const {port} = new URL(server.url);
		await server.end();
		await page.waitForFunction(() => document.getElementById('trouble').textContent.includes('does not answer'));
		troubles.length = 0; // the browser has noted that, too
		server = await serve(out, '--listen', 'localhost:' + port);
		await page.waitForFunction(() => document.getElementById('trouble').textContent === '');
		troubles.length = 0;

		step('dark');
		let seen = await contrast(page);
		assert.ok(!seen.dark && seen.ratio > 7, JSON.stringify(seen));
		await page.emulateMedia({colorScheme: 'dark'});
		seen = await contrast(page);
		assert.ok(seen.dark && seen.ratio > 7, JSON.stringify(seen));
		await accessible(page, 'dark');
		await shoot(page, 'dark');

		step('on a phone');
		await page.emulateMedia({colorScheme: 'light'});
		await page.setViewportSize({width: 360, height: 740});
		await page.waitForTimeout(300);
		assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than the screen');
		const small = await page.$$eval('body *', all => Math.min(...all.filter(e => e.textContent && e.getClientRects().length)
			.map(e => parseFloat(getComputedStyle(e).fontSize))));
		assert.ok(small >= 12, `text of ${small} px`);
		assert.ok(await page.$eval('#matrix button', b => b.getBoundingClientRect().height >= 32), 'buttons too small for fingers');
		await accessible(page, 'phone');
		await shoot(page, 'phone');
		assert.deepEqual(troubles, []);
		assert.deepEqual(elsewhere, []);
		await server.end();

		step('at another address it asks for a token, which does not stay in sight');
		server = await serve(out, '--listen', '0.0.0.0:0');
		const url = new URL(server.url);
		url.hostname = '127.0.0.1';
		assert.equal((await fetch(url.origin)).status, 401);
		assert.equal((await fetch(url.origin + '/status.json?token=x')).status, 401);
		const other = await browser.newContext();
		const guest = await other.newPage();
		await guest.goto(url.href);
		await guest.waitForFunction(() => document.getElementById('counts')?.textContent === '8 cells: 8 done');
		assert.ok(!guest.url().includes('token'), guest.url());
		assert.equal(await guest.evaluate(() => document.cookie), '');
		await other.close();

		step('pages of others cannot read it, nor frame it');
		const stranger = await (await browser.newContext()).newPage();
		await stranger.goto('data:text/html,<p>stranger</p>');
		assert.equal(await stranger.evaluate(u => fetch(u).then(() => 'read', () => 'refused'), url.origin + '/status.json'), 'refused');
		await server.end();
	} finally {
		await browser.close();
		await server.end();
	}
	console.log('the page works in Chromium ' + browser.version());
	process.exitCode = 0;
})().catch(e => console.error(e));
