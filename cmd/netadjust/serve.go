package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"netadjust/harness"
	"netadjust/internal/data"
	"netadjust/internal/serve"
)

func serveCommand(a *app, f *flags) error {
	listen := f.String("listen", "localhost:8765", "`ADDRESS` to listen at, with port; port 0 is any that is free; at an address "+
		"other than this machine's own a token is asked for, which is printed")
	dataDir := f.data()
	args, err := f.parse()
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(*listen)
	if err != nil {
		return failf(exitUsage, "--listen %q: want an address and a port, as in localhost:8765: %w", *listen, err)
	}
	watch := harness.Watch(args[0], data.Dir(*dataDir))
	if _, err := watch.Status(); err != nil {
		return fmt.Errorf("%s is not an output folder of netadjust run: %w", args[0], err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return failf(exitUsage, "--listen: %w; choose another port, or 0 for any that is free", err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	o := serve.Options{Watch: watch, Port: port}
	query := ""
	if !serve.Loopback(host) {
		o.Token = rand.Text()
		query = "?token=" + o.Token
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host, _ = os.Hostname()
		}
	}
	server := &http.Server{
		Handler: serve.Handler(o), ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 1 << 16,
	}
	stop := context.AfterFunc(a.ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	defer stop()
	fmt.Fprintf(a.stdout, "http://%s/%s\n", net.JoinHostPort(host, port), query)
	fmt.Fprintln(a.stderr, "shows the folder until it is interrupted, and changes nothing in it")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
