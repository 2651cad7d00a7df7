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
	Epoch    Kind = "epoch"    // of a training, complete
	Step     Kind = "step"     // inside an epoch
	Update   Kind = "update"   // of a search; in logs only
	Finished Kind = "finished" // a cell
	Failed   Kind = "failed"   // a cell
	Warning  Kind = "warning"  // something that the user should know
)

// Event is one thing that happened in a run.
type Event struct {
	Kind    Kind   `json:"kind"`
	Cell    string `json:"cell,omitempty"`
	Message string `json:"message"`
	Done    int    `json:"done"`    // cells that are done or failed
	Failed  int    `json:"failed"`  // of these
	Running int    `json:"running"` // cells at this moment
	Total   int    `json:"total"`   // cells of the run
	// Share of the run's computation that is done, 0 to 1, and the seconds that the rest will take if it goes on at the
	// rate so far; 0 if that is not known yet.
	Share     float64   `json:"share"`
	Remaining float64   `json:"remaining_seconds,omitempty"`
	Training  *Training `json:"training,omitempty"` // of an epoch or step
}

// Training is how a training of a cell is getting on. Epochs count from 1; loss and top-1 are means over the images of
// the epoch so far.
type Training struct {
	Purpose         string  `json:"purpose"`
	Epoch           int     `json:"epoch"`
	Epochs          int     `json:"epochs"`
	Loss            float64 `json:"loss"`
	Top1            float64 `json:"top1"`
	ImagesPerSecond float64 `json:"images_per_second,omitempty"`
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

// NewText returns a printer of lines. On a terminal, whose columns and rows it asks for, the last lines follow the run
// and its running cells, and are drawn again and again; without one (size is nil) a line about the run comes once a
// minute.
func NewText(w io.Writer, size func() (columns, rows int)) Printer {
	return &textPrinter{w: w, size: size, running: map[string]string{}, told: time.Now()}
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
	size    func() (columns, rows int)
	running map[string]string // what each running cell is doing
	order   []string          // running cells in the order of their start
	drawn   int               // lines that are to be drawn again
	told    time.Time         // when there last was a line, without a terminal
}

// tellEvery is the time between lines about the run where there is no terminal.
const tellEvery = time.Minute

func (p *textPrinter) Print(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case Started:
		p.order = append(p.order, e.Cell)
	case Epoch, Step:
		p.running[e.Cell] = e.Message
	case Finished, Failed:
		delete(p.running, e.Cell)
		p.order = without(p.order, e.Cell)
	}
	p.clear()
	if e.Kind != Epoch && e.Kind != Step {
		fmt.Fprintln(p.w, line(e))
	}
	if p.size != nil {
		p.draw(e)
	} else if now := time.Now(); now.Sub(p.told) >= tellEvery {
		p.told = now
		fmt.Fprintln(p.w, strings.Join(append([]string{p.summary(e)}, p.doing()...), "; "))
	}
}

// line is an event as a line of its own.
func line(e Event) string {
	count := fmt.Sprintf("[%*d/%d]", len(fmt.Sprint(e.Total)), e.Done, e.Total)
	switch e.Kind {
	case Warning:
		return "warning: " + e.Message
	case Note:
		if e.Cell == "" {
			return e.Message
		}
		return fmt.Sprintf("%s   %s: %s", count, e.Cell, e.Message)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %-8s %s  %s", count, e.Kind, e.Cell, e.Message))
}

// summary is a run in a few words.
func (p *textPrinter) summary(e Event) string {
	text := fmt.Sprintf("%3.0f %%, %d of %d cells done", 100*e.Share, e.Done-e.Failed, e.Total)
	if e.Failed > 0 {
		text += fmt.Sprintf(", %d failed", e.Failed)
	}
	text += fmt.Sprintf(", %d running", e.Running)
	if e.Remaining > 0 {
		left := time.Duration(e.Remaining * float64(time.Second))
		text += fmt.Sprintf(", about %s left, until %s", Duration(e.Remaining), clock(time.Now(), left))
	}
	return text
}

// clock is the time of day after a while, with the date if that is another one.
func clock(now time.Time, after time.Duration) string {
	then := now.Add(after)
	if then.YearDay() == now.YearDay() && after < 24*time.Hour {
		return then.Format("15:04")
	}
	return then.Format("Mon 2 Jan 15:04")
}

// doing is what the running cells are doing.
func (p *textPrinter) doing() (lines []string) {
	for _, cell := range p.order {
		if doing := p.running[cell]; doing != "" {
			lines = append(lines, doing)
		}
	}
	return lines
}

// draw draws the last lines. The cursor stays at the end of the last one.
func (p *textPrinter) draw(e Event) {
	columns, rows := p.size()
	lines := append([]string{p.summary(e)}, p.doing()...)
	lines = lines[:max(1, min(len(lines), rows-1))]
	for i, text := range lines {
		if limit := columns - 1; limit > 0 && utf8.RuneCountInString(text) > limit {
			lines[i] = string([]rune(text)[:limit])
		}
	}
	fmt.Fprint(p.w, strings.Join(lines, "\n"))
	p.drawn = len(lines)
}

// clear takes the last lines back.
func (p *textPrinter) clear() {
	for i := range p.drawn {
		if i > 0 {
			fmt.Fprint(p.w, "\x1b[A")
		}
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.drawn = 0
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
