package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"netadjust/harness"
	"netadjust/results"
)

const (
	done    = "resnet8-w1-mnist-uniform-b1-s1-0123456789ab"
	failed  = "resnet8-w1-mnist-uniform-b1-s2-0123456789ab"
	pending = "resnet8-w1-mnist-uniform-b1-s3-0123456789ab"
)

// folder makes an output folder with a cell that is done, one that has failed, and one that is pending.
func folder(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	plan, err := json.Marshal(map[string]any{"name": "<b>test</b>", "file": "t.toml", "cells": []string{done, failed, pending}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "plan.json"), plan, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{done, failed} {
		r := &results.Record{Result: results.Result{
			ID: id, Network: "resnet8", Width: 1, Padding: "max", Dataset: "mnist", Method: "uniform", Budget: "1",
			Config: json.RawMessage("{}"), ResultsVersion: results.ResultsVersion, Layers: []string{"conv"},
		}}
		if id == done {
			r.Result.Final = &results.Final{Channels: []int{8}, FLOPs: 2e6, TestTop1: 0.75, Epochs: []results.Epoch{{TrainLoss: 0.5}}}
		} else {
			r.Result.Failure = &results.Failure{Reason: "diverged"}
		}
		dir := filepath.Join(out, results.CellsFolder, id)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := results.Write(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func newHandler(t *testing.T, out, token string) http.Handler {
	t.Helper()
	return Handler(Options{Watch: harness.Watch(out, t.TempDir()), Token: token, Port: "8765"})
}

// get asks as a browser on this machine does; change may make something else of it.
func get(h http.Handler, target string, change func(*http.Request)) *http.Response {
	r := httptest.NewRequest("GET", target, nil)
	r.Host = "localhost:8765"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(b.String(), "\r\n\r\n")
	return text
}

func TestStatus(t *testing.T) {
	h := newHandler(t, folder(t), "")
	r := get(h, "/status.json", nil)
	var got shown
	if err := json.Unmarshal([]byte(body(t, r)), &got); err != nil || r.StatusCode != 200 {
		t.Fatal(r.StatusCode, err)
	}
	if len(got.Cells) != 3 || got.Counts["done"] != 1 || got.Counts["failed"] != 1 || got.Counts["pending"] != 1 {
		t.Fatalf("%+v", got)
	}
	c := got.Cells[0]
	want := point{"resnet8, width 1, on mnist", "uniform", "1", 2e6, 0.75}
	if c.Point == nil || *c.Point != want || c.Seed != 1 || c.Row != "resnet8-w1-mnist-uniform-b1" {
		t.Errorf("%+v, point %+v", c, c.Point)
	}
	if c := got.Cells[1]; c.Point != nil || c.Why != "diverged" {
		t.Errorf("%+v", c)
	}
	again := get(h, "/status.json", func(q *http.Request) { q.Header.Set("If-None-Match", r.Header.Get("ETag")) })
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("the same status again: %d", again.StatusCode)
	}
}

func TestCell(t *testing.T) {
	out := folder(t)
	h := newHandler(t, out, "")
	var got harness.CellDetails
	if err := json.Unmarshal([]byte(body(t, get(h, "/cell.json?id="+done, nil))), &got); err != nil {
		t.Fatal(err)
	}
	if got.State != "done" || len(got.Epochs) != 1 || got.Epochs[0].TrainLoss != 0.5 || got.Layers[0] != "conv" {
		t.Errorf("%+v", got)
	}
	// Names that are not in the plan lead nowhere, whatever lies there.
	if err := os.Rename(filepath.Join(out, results.CellsFolder, done), filepath.Join(out, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "x", "../elsewhere", "..%2felsewhere", "/etc", done + "/..", "%00"} {
		if r := get(h, "/cell.json?id="+id, nil); r.StatusCode != http.StatusNotFound {
			t.Errorf("cell %q: %d", id, r.StatusCode)
		}
	}
}

func TestFolderThatGoesAndComesBack(t *testing.T) {
	out := folder(t)
	h := newHandler(t, out, "")
	plan := filepath.Join(out, "plan.json")
	if err := os.Rename(plan, plan+".away"); err != nil {
		t.Fatal(err)
	}
	if r := get(h, "/status.json", nil); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body(t, r), "plan.json") {
		t.Errorf("status %d", r.StatusCode)
	}
	if err := os.Rename(plan+".away", plan); err != nil {
		t.Fatal(err)
	}
	if r := get(h, "/cell.json?id="+pending, nil); r.StatusCode != 200 {
		t.Errorf("status %d", r.StatusCode)
	}
}

func TestPathsAndMethods(t *testing.T) {
	h := newHandler(t, folder(t), "")
	for _, path := range []string{
		"/plan.json", "/cells/" + done + "/record.json", "/page.html", "/..%2fplan.json", "/%2e%2e/plan.json", "/status.json/",
	} {
		if r := get(h, path, nil); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		r := get(h, "/", func(q *http.Request) { q.Method = method })
		if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d, %v", method, r.StatusCode, r.Header)
		}
	}
	if r := get(h, "/", func(q *http.Request) { q.Method = "HEAD" }); r.StatusCode != 200 {
		t.Errorf("HEAD: %d", r.StatusCode)
	}
}

// A name that somebody else makes lead to this machine is refused, or their page could read the answers.
func TestNames(t *testing.T) {
	h := newHandler(t, folder(t), "")
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9000": 200, "LOCALHOST:1": 200, "127.0.0.1:8765": 200, "[::1]:8765": 200, "[::1]": 200,
		"evil.example": 403, "evil.example:8765": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
		"192.0.2.1:8765": 403, "": 403, "localhost@evil.example": 403,
	} {
		if r := get(h, "/status.json", func(q *http.Request) { q.Host = host }); r.StatusCode != want {
			t.Errorf("host %q: %d, want %d", host, r.StatusCode, want)
		}
	}
}

func TestToken(t *testing.T) {
	h := newHandler(t, folder(t), "SECRET")
	cookie := func(value string) func(*http.Request) {
		return func(q *http.Request) {
			q.Host = "node7.example:8765"
			q.AddCookie(&http.Cookie{Name: "netadjust-8765", Value: value})
		}
	}
	bearer := func(value string) func(*http.Request) {
		return func(q *http.Request) { q.Header.Set("Authorization", value) }
	}
	for _, tt := range []struct {
		name, target string
		change       func(*http.Request)
		want         int
	}{
		{"nothing", "/", nil, 401}, {"nothing", "/status.json", nil, 401}, {"nothing", "/cell.json?id=" + done, nil, 401},
		{"wrong token", "/?token=SECRE", nil, 401}, {"no token", "/?token=", nil, 401}, {"token", "/?token=SECRET", nil, 303},
		{"token elsewhere", "/status.json?token=SECRET", nil, 303},
		{"cookie", "/status.json", cookie("SECRET"), 200}, {"wrong cookie", "/status.json", cookie("secret"), 401},
		{"wrong token beside a cookie", "/?token=x", cookie("SECRET"), 401},
		{"bearer", "/status.json", bearer("Bearer SECRET"), 200}, {"wrong bearer", "/status.json", bearer("Bearer "), 401},
		{"basic", "/status.json", bearer("SECRET"), 401},
	} {
		if r := get(h, tt.target, tt.change); r.StatusCode != tt.want {
			t.Errorf("%s: %s: %d, want %d", tt.name, tt.target, r.StatusCode, tt.want)
		}
	}
	r := get(h, "/?token=SECRET", nil)
	c := r.Cookies()
	if r.Header.Get("Location") != "/" || len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode ||
		c[0].Name != "netadjust-8765" || c[0].Value != "SECRET" {
		t.Errorf("to %q with cookies %v", r.Header.Get("Location"), c)
	}
}

// The page brings all that it needs, in the two elements that the policy knows.
func TestPage(t *testing.T) {
	r := get(newHandler(t, folder(t), ""), "/", nil)
	text := body(t, r)
	for _, wrong := range []string{`https?://[^"']*\.(js|css|png|svg|woff2?)`, `\son[a-z]+="`, `\sstyle="`, `innerHTML`, `<script[^>]`, `src=`, `@import`} {
		if found := regexp.MustCompile(wrong).FindString(text); found != "" {
			t.Errorf("the page has %q", found)
		}
	}
	if strings.Count(text, "<script>") != 1 || strings.Count(text, "<style>") != 1 {
		t.Error("want one script and one style")
	}
	policy := r.Header.Get("Content-Security-Policy")
	if !regexp.MustCompile(`^default-src 'none'; script-src 'sha256-[A-Za-z0-9+/]{43}='; style-src 'sha256-`).MatchString(policy) ||
		!strings.HasSuffix(policy, "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'") {
		t.Errorf("policy %s", policy)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Cross-Origin-Resource-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.1.2.3": true, "::1": true, "": false, "0.0.0.0": false, "::": false, "host": false,
	} {
		if Loopback(host) != want {
			t.Errorf("%q: want %v", host, want)
		}
	}
}
