package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// TestServe serves a folder, here and for others, until it is interrupted.
func TestServe(t *testing.T) {
	file, out := experiment(t, tiny), filepath.Join(t.TempDir(), "out")
	call(t.Context(), "run", file, "--out", out, "--shard", "0/2", "--quiet").check(t, 0, "2 cells finished now", "")
	for _, tt := range []struct{ listen, token string }{{"localhost:0", ""}, {"0.0.0.0:0", "token"}} {
		ctx, interrupt := context.WithCancel(t.Context())
		stdout, w := io.Pipe()
		var logged strings.Builder
		code := make(chan int)
		go func() { code <- run(ctx, []string{"serve", out, "--listen", tt.listen}, w, &logged) }()
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if u.Query().Has("token") != (tt.token != "") || len(u.Query().Get("token")) != 0 && len(u.Query().Get("token")) < 20 {
			t.Errorf("address %s", u)
		}
		q, err := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1:"+u.Port()+"/status.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+u.Query().Get("token"))
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(text), `"counts":{"done":2,"pending":1}`) {
			t.Errorf("%s: %v\n%s", tt.listen, err, text)
		}
		interrupt()
		if c := <-code; c != 0 {
			t.Errorf("exit code %d, %s", c, logged.String())
		}
		if token := u.Query().Get("token"); token != "" && strings.Contains(logged.String(), token) {
			t.Errorf("the token is in what is logged: %s", logged.String())
		}
	}
	call(t.Context(), "serve", t.TempDir()).check(t, exitUsage, "", "is not an output folder of netadjust run")
	call(t.Context(), "serve", out, "--listen", "8765").check(t, exitUsage, "", "want an address and a port")
	call(t.Context(), "serve", out, "--listen", "192.0.2.1:0").check(t, exitUsage, "", "choose another port")
}
