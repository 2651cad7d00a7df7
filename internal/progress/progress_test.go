package progress

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var events = []Event{
	{Kind: Started, Cell: "a", Total: 12},
	{Kind: Epoch, Cell: "a", Message: "a: epoch 1", Total: 12, Share: 0.1, Remaining: 3700},
	{Kind: Note, Cell: "a", Message: "update 1", Total: 12},
	{Kind: Warning, Message: "record set aside", Total: 12},
	{Kind: Failed, Cell: "a", Message: "diverged", Done: 1, Total: 12, Share: 0.2},
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

// screen shows what a terminal would after the output: carriage return and erase take back the last line.
func screen(output string) string {
	lines := strings.Split(output, "\n")
	for i, l := range lines {
		lines[i] = l[strings.LastIndex(l, "\r\x1b[K")+1:]
		lines[i] = strings.TrimPrefix(lines[i], "\x1b[K")
	}
	return strings.Join(lines, "\n")
}

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	p := NewText(&b, func() int { return 40 })
	p.Print(events[0])
	p.Print(events[1])
	if want := "[ 0/12] started  a\n 10 % | about 1h2m left | a: epoch 1"; screen(b.String()) != want {
		t.Errorf("screen shows %q, want %q", screen(b.String()), want)
	}
	p.Print(Event{Kind: Epoch, Cell: "a", Message: strings.Repeat("ö", 60)})
	last := screen(b.String())
	if status := last[strings.LastIndex(last, "\n")+1:]; len([]rune(status)) != 39 {
		t.Errorf("status line %q has %d columns, want 39", status, len([]rune(status)))
	}
	p.Print(events[4])
	p.Close()
	if want := "[ 0/12] started  a\n[ 1/12] failed   a  diverged\n"; screen(b.String()) != want {
		t.Errorf("screen shows %q at the end, want %q", screen(b.String()), want)
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
