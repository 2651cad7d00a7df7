// Package progress shows how a run is getting on, as text for people or as JSON for programs.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	Started  Kind = "started"  // a cell
	Note     Kind = "note"     // something a search found
	Epoch    Kind = "epoch"    // of a training
	Finished Kind = "finished" // a cell
	Failed   Kind = "failed"   // a cell
	Warning  Kind = "warning"  // something that the user should know
)

// Event is one thing that happened in a run.
type Event struct {
	Kind    Kind   `json:"kind"`
	Cell    string `json:"cell,omitempty"`
	Message string `json:"message"`
	Done    int    `json:"done"`  // cells that are done or failed
	Total   int    `json:"total"` // cells of the run
	// Share of the run's computation that is done, 0 to 1, and the seconds that the rest will take if it goes on at the
	// rate so far; 0 if that is not known yet.
	Share     float64 `json:"share"`
	Remaining float64 `json:"remaining_seconds,omitempty"`
}

// Printer shows events. It may be called by several goroutines.
type Printer interface {
	Print(Event)
	// Close ends the display.
	Close()
}

// NewJSON returns a printer of one JSON object a line.
func NewJSON(w io.Writer) Printer { return &jsonPrinter{enc: json.NewEncoder(w)} }

type jsonPrinter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (p *jsonPrinter) Print(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.enc.Encode(e) // nobody to tell if the output is gone
}

func (p *jsonPrinter) Close() {}

// NewText returns a printer of lines. On a terminal, whose width in columns it asks for, a last line follows the run and
// is drawn again and again; without one (width is nil) that line is left out.
func NewText(w io.Writer, width func() int) Printer {
	return &textPrinter{w: w, width: width, running: map[string]string{}}
}

// NewQuiet returns a printer of failures and warnings.
func NewQuiet(w io.Writer) Printer { return quietPrinter{NewText(w, nil)} }

type quietPrinter struct{ Printer }

func (p quietPrinter) Print(e Event) {
	if e.Kind == Failed || e.Kind == Warning {
		p.Printer.Print(e)
	}
}

type textPrinter struct {
	mu      sync.Mutex
	w       io.Writer
	width   func() int
	running map[string]string // what each running cell is doing
	order   []string          // running cells in the order of their start
}

func (p *textPrinter) Print(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case Started:
		p.order = append(p.order, e.Cell)
	case Epoch:
		p.running[e.Cell] = e.Message
	case Finished, Failed:
		delete(p.running, e.Cell)
		p.order = without(p.order, e.Cell)
	}
	if e.Kind != Epoch {
		p.clear()
		fmt.Fprintln(p.w, line(e))
	}
	p.status(e)
}

// line is an event as a line of its own.
func line(e Event) string {
	count := fmt.Sprintf("[%*d/%d]", len(fmt.Sprint(e.Total)), e.Done, e.Total)
	switch e.Kind {
	case Warning:
		return "warning: " + e.Message
	case Note:
		return fmt.Sprintf("%s   %s: %s", count, e.Cell, e.Message)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %-8s %s  %s", count, e.Kind, e.Cell, e.Message))
}

// status draws the last line.
func (p *textPrinter) status(e Event) {
	if p.width == nil {
		return
	}
	parts := []string{fmt.Sprintf("%3.0f %%", 100*e.Share)}
	if e.Remaining > 0 {
		parts = append(parts, "about "+Duration(e.Remaining)+" left")
	}
	for _, cell := range p.order {
		if doing := p.running[cell]; doing != "" {
			parts = append(parts, doing)
		}
	}
	text := strings.Join(parts, " | ")
	if limit := p.width() - 1; limit > 0 && utf8.RuneCountInString(text) > limit {
		text = string([]rune(text)[:limit])
	}
	p.clear()
	fmt.Fprint(p.w, text)
}

func (p *textPrinter) clear() {
	if p.width != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func (p *textPrinter) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func without(list []string, s string) []string {
	var rest []string
	for _, x := range list {
		if x != s {
			rest = append(rest, x)
		}
	}
	return rest
}

// Duration is a number of seconds for people: 40s, 12m30s, 3h5m.
func Duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}
