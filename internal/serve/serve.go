// Package serve shows how an output folder stands as a web page that updates itself. It changes nothing in the folder,
// and the page asks nobody else for anything.
package serve

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"netadjust/harness"
)

// Options say what to show, and to whom.
type Options struct {
	Watch *harness.Watcher
	// Token is asked for, in the address of the first request, in the cookie that this sets, or as bearer. Without one
	// only requests to this very machine are answered, under its own names: a name that somebody else has made lead here
	// would let a page of theirs read the answers.
	Token string
	Port  string // keeps the cookies of several servers on one machine apart
}

// Handler answers the page and what it asks for.
func Handler(o Options) http.Handler {
	h := &handler{Options: o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("GET /status.json", h.status)
	mux.HandleFunc("GET /cell.json", h.cell)
	return h.guard(mux)
}

type handler struct {
	Options
	mu   sync.Mutex
	at   time.Time // of the last look at the folder
	last answer
}

// answer is what is sent.
type answer struct {
	code int
	body []byte
	etag string
}

// fresh is how long a look at the folder serves all who ask.
const fresh = time.Second

//go:embed page.html
var page []byte

// policy lets the page run its own script and style, and ask this server. Nothing else is loaded, sent, or framed.
var policy = fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; connect-src 'self'; img-src data:; "+
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", hashOf("script"), hashOf("style"))

// hashOf names the content of an element of the page, as a policy does.
func hashOf(element string) string {
	_, text, _ := bytes.Cut(page, []byte("<"+element+">"))
	text, _, _ = bytes.Cut(text, []byte("</"+element+">"))
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// guard sets the headers of all answers, and answers those alone who may ask.
func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		switch {
		case h.Token == "" && !ownName(r.Host):
			http.Error(w, "this server is for this machine alone: ask for localhost", http.StatusForbidden)
		case h.Token != "" && r.URL.Query().Has("token"):
			h.enter(w, r)
		case h.Token != "" && !h.knows(r):
			http.Error(w, "open the address that netadjust serve has printed: it holds the token", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ownName tells whether a host, with or without a port, is a name of this machine that nobody else can give away.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return Loopback(strings.Trim(host, "[]"))
}

// Loopback tells whether a host is this machine, for itself alone.
func Loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// enter takes a token out of the address, where it would stay in the history, and puts it into a cookie.
func (h *handler) enter(w http.ResponseWriter, r *http.Request) {
	if !h.equal(r.URL.Query().Get("token")) {
		http.Error(w, "wrong token: netadjust serve makes a new one whenever it starts", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: h.cookie(), Value: h.Token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (h *handler) cookie() string { return "netadjust-" + h.Port }

func (h *handler) knows(r *http.Request) bool {
	if c, err := r.Cookie(h.cookie()); err == nil && h.equal(c.Value) {
		return true
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && h.equal(bearer)
}

func (h *handler) equal(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(h.Token)) == 1
}

func (h *handler) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
}

// status answers with all cells. Looks at the folder are shared, and an answer that the page has is not sent again.
func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	if time.Since(h.at) > fresh {
		s, err := h.Watch.Status()
		h.last = answered(summary(s), err)
		h.at = time.Now()
	}
	last := h.last
	h.mu.Unlock() // a page that reads slowly holds up no other
	last.send(w, r)
}

// cell answers with what is known of one cell.
func (h *handler) cell(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	a := answered(h.Watch.Cell(r.URL.Query().Get("id")))
	h.mu.Unlock()
	a.send(w, r)
}

// answered makes an answer of a value, or of what went wrong.
func answered(value any, err error) answer {
	a := answer{code: http.StatusOK}
	if err != nil {
		a.code = http.StatusServiceUnavailable // the folder may come back
		if errors.Is(err, harness.ErrNoCell) {
			a.code = http.StatusNotFound
		}
		value = map[string]string{"error": err.Error()}
	}
	a.body, err = json.Marshal(value)
	if err != nil {
		return answered(nil, err)
	}
	a.etag = fmt.Sprintf(`"%x"`, sha256.Sum256(a.body))
	return a
}

func (a answer) send(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", a.etag)
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body) // nobody to tell if they are gone
}
