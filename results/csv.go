package results

import (
	"encoding/csv"
	"io"

	"netadjust/internal/atomicfile"
)

// writeCSV writes rows to the file at path.
func writeCSV(path string, rows [][]string) error {
	return atomicfile.WriteTo(path, func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(rows)
	})
}
