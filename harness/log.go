package harness

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"netadjust/internal/progress"
	"netadjust/results"
)

// logFile is the log of a cell, in its folder: a JSON object a line, of all runs that have worked on it.
const logFile = "log.jsonl"

// tailLines is how much of the log a record of a failed cell holds.
const tailLines = 20

// cellLog writes what happens to a cell.
type cellLog struct {
	file    *os.File
	broken  bool // the last line has no end, because the run was killed or the disk is full
	logger  *slog.Logger
	tail    []string // the last lines of this run
	resumed bool     // an earlier run has worked on the cell
}

func openLog(folder string) (*cellLog, error) {
	file, err := os.OpenFile(filepath.Join(folder, logFile), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	l := &cellLog{file: file, resumed: info.Size() > 0}
	if l.resumed {
		last := []byte{0}
		_, err := file.ReadAt(last, info.Size()-1)
		l.broken = err != nil || last[0] != '\n'
	}
	l.logger = slog.New(slog.NewJSONHandler(l, nil))
	return l, nil
}

// Write writes a line into the file, on a line of its own.
func (l *cellLog) Write(line []byte) (int, error) {
	if l.broken {
		line = append([]byte("\n"), line...)
	}
	n, err := l.file.Write(line)
	l.broken = err != nil && (l.broken || n > 0)
	return n, err
}

// write adds a line. The log is for people: a run goes on where it cannot be written. A cell that does not run has none.
func (l *cellLog) write(kind progress.Kind, message string, more ...slog.Attr) {
	if l == nil {
		return
	}
	level := slog.LevelInfo
	if kind == progress.Warning || kind == progress.Failed {
		level = slog.LevelWarn
	}
	l.logger.LogAttrs(context.Background(), level, message, append([]slog.Attr{slog.String("kind", string(kind))}, more...)...)
	l.tail = append(l.tail, fmt.Sprintf("%s: %s", kind, message))
	l.tail = l.tail[max(0, len(l.tail)-tailLines):]
}

func (l *cellLog) close() { l.file.Close() }

// logLine is a line of a log.
type logLine struct {
	Time     time.Time
	Msg      string
	Kind     progress.Kind
	Layers   []string
	Training *progress.Training
	Update   *results.Update
	End      time.Time
}

func (l *logLine) String() string {
	return fmt.Sprintf("%s %s: %s", l.Time.Format(time.DateTime), l.Kind, l.Msg)
}

// readLog reads a log. Lines that a killed run has not finished are left out.
func readLog(text []byte) (lines []logLine) {
	for line := range bytes.Lines(text) {
		var l logLine
		if json.Unmarshal(line, &l) == nil {
			lines = append(lines, l)
		}
	}
	return lines
}

// lastLine returns the last complete line of a log that is not an update, nil if there is none.
func lastLine(path string) *logLine {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	lines := bytes.Split(text, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		var l logLine
		if json.Unmarshal(lines[i], &l) == nil && l.Kind != progress.Update {
			l.Msg = cmp.Or(l.Msg, string(l.Kind))
			return &l
		}
	}
	return nil
}
