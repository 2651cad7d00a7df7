package progress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var events = []Event{
	{Kind: Started, Cell: "a", Total: 12, Running: 1},
	{Kind: Epoch, Cell: "a", Message: "a: epoch 1", Total: 12, Running: 1, Share: 0.1, Remaining: 3700,
		Training: &Training{Purpose: "final", Epoch: 1, Epochs: 2, Loss: 0.5, Top1: 0.9, ImagesPerSecond: 100}},
	{Kind: Note, Cell: "a", Message: "update 1", Total: 12},
	{Kind: Warning, Message: "record set aside", Total: 12},
	{Kind: Failed, Cell: "a", Message: "diverged", Done: 1, Failed: 1, Total: 12, Share: 0.2},
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	p := NewText(&b, nil)
	for _, e := range events {
		p.Print(e)
	}
	p.Close()
	want := "[ 0/12] started  a\n" +
		"[ 0/12]   a: update 1\n" +
		"warning: record set aside\n" +
		"[ 1/12] failed   a  diverged\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// screen shows what a terminal would after the output, which may go to the start of a line, erase the rest of it, and go
// up a line.
func screen(output string) string {
	lines, row, column := [][]rune{{}}, 0, 0
	for output != "" {
		if rest, ok := strings.CutPrefix(output, "\x1b[K"); ok {
			lines[row], output = lines[row][:column], rest
			continue
		}
		if rest, ok := strings.CutPrefix(output, "\x1b[A"); ok {
			row, output = row-1, rest
			continue
		}
		r, size := utf8.DecodeRuneInString(output)
		output = output[size:]
		switch r {
		case '\r':
			column = 0
		case '\n':
			row, column = row+1, 0
			if row == len(lines) {
				lines = append(lines, nil)
			}
		default:
			lines[row] = append(lines[row][:column], r)
			column++
		}
	}
	var text []string
	for _, l := range lines {
		text = append(text, string(l))
	}
	return strings.TrimRight(strings.Join(text, "\n"), "\n")
}

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	p := NewText(&b, func() (int, int) { return 40, 3 })
	check := func(want ...string) {
		t.Helper()
		if got := screen(b.String()); got != strings.Join(want, "\n") {
			t.Errorf("screen shows\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	}
	p.Print(events[0])
	check("[ 0/12] started  a", "  0 %, 0 of 12 cells done, 1 running")
	p.Print(events[1])
	check("[ 0/12] started  a", " 10 %, 0 of 12 cells done, 1 running, a", "a: epoch 1")
	p.Print(Event{Kind: Started, Cell: "b", Total: 12, Running: 2})
	p.Print(Event{Kind: Step, Cell: "b", Message: "b: epoch 1 at 5 %", Total: 12, Running: 2})
	check("[ 0/12] started  a", "[ 0/12] started  b", "  0 %, 0 of 12 cells done, 2 running", "a: epoch 1")
	p.Print(Event{Kind: Finished, Cell: "b", Message: "done", Done: 1, Total: 12, Running: 1})
	p.Print(Event{Kind: Epoch, Cell: "a", Message: strings.Repeat("ö", 60), Done: 1, Total: 12, Running: 1})
	check("[ 0/12] started  a", "[ 0/12] started  b", "[ 1/12] finished b  done", "  0 %, 1 of 12 cells done, 1 running",
		strings.Repeat("ö", 39))
	p.Print(events[4])
	p.Close()
	check("[ 0/12] started  a", "[ 0/12] started  b", "[ 1/12] finished b  done", "[ 1/12] failed   a  diverged")
}

// Without a terminal there is a line about the run once a minute.
func TestPiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := NewText(&b, nil)
		p.Print(Event{Kind: Started, Cell: "a", Total: 12, Running: 1})
		for i := range 5 {
			p.Print(Event{Kind: Step, Cell: "a", Message: fmt.Sprintf("step %d", i), Total: 12, Done: 2, Failed: 1, Running: 1})
			time.Sleep(30 * time.Second)
		}
		want := "[ 0/12] started  a\n" +
			"  0 %, 1 of 12 cells done, 1 failed, 1 running; step 2\n" +
			"  0 %, 1 of 12 cells done, 1 failed, 1 running; step 4\n"
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 12, 31, 22, 30, 0, 0, time.UTC)
	for after, want := range map[time.Duration]string{
		time.Hour: "23:30", 2 * time.Hour: "Fri 1 Jan 00:30", 365 * 24 * time.Hour: "Fri 31 Dec 22:30",
	} {
		if got := clock(now, after); got != want {
			t.Errorf("%v after %v: %s, want %s", after, now, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	p := NewJSON(&b)
	for _, e := range events {
		p.Print(e)
	}
	p.Close()
	var got []Event
	for dec := json.NewDecoder(&b); dec.More(); {
		var e Event
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Error(diff)
	}
}
