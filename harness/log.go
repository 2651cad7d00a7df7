package harness

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"netadjust/internal/progress"
)

// logFile is the log of a cell, in its folder: a JSON object a line, of all runs that have worked on it.
const logFile = "log.jsonl"

// tailLines is how much of the log a record of a failed cell holds.
const tailLines = 20

// cellLog writes what happens to a cell.
type cellLog struct {
	file    *os.File
	logger  *slog.Logger
	tail    []string // the last lines of this run
	resumed bool     // an earlier run has worked on the cell
}

func openLog(folder string) (*cellLog, error) {
	file, err := os.OpenFile(filepath.Join(folder, logFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &cellLog{file: file, logger: slog.New(slog.NewJSONHandler(file, nil)), resumed: info.Size() > 0}, nil
}

// write adds a line. The log is for people: a run goes on where it cannot be written.
func (l *cellLog) write(kind progress.Kind, message string) {
	level := slog.LevelInfo
	if kind == progress.Warning || kind == progress.Failed {
		level = slog.LevelWarn
	}
	l.logger.Log(context.Background(), level, message, "kind", string(kind))
	l.tail = append(l.tail, fmt.Sprintf("%s: %s", kind, message))
	l.tail = l.tail[max(0, len(l.tail)-tailLines):]
}

func (l *cellLog) close() { l.file.Close() }
