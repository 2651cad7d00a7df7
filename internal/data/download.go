package data

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"time"
)

// download is a source of files that can be downloaded one by one: their names are appended to url.
func download(url string) source {
	return source{url, func(ctx context.Context, want []string, put putFunc) error {
		for _, name := range want {
			if err := fetchURL(ctx, url+name, func(r io.Reader) error { return put(name, r) }); err != nil {
				return err
			}
		}
		return nil
	}}
}

// downloadArchive is a source of files in a tar.gz that can be downloaded. It is unpacked as it arrives.
func downloadArchive(url string) source {
	return source{url, func(ctx context.Context, want []string, put putFunc) error {
		return fetchURL(ctx, url, func(r io.Reader) error {
			unzipped, err := gzip.NewReader(r)
			if err != nil {
				return fmt.Errorf("%s: %w", url, err)
			}
			return unpack(unzipped, want, put)
		})
	}}
}

// unpack puts the wanted files of a tar archive, in whatever folder of it they are. No name from the archive is used as
// a path.
func unpack(r io.Reader, want []string, put putFunc) error {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar archive: %w", err)
		}
		if name := path.Base(header.Name); header.Typeflag == tar.TypeReg && slices.Contains(want, name) {
			if err := put(name, archive); err != nil {
				return err
			}
		}
	}
}

const (
	connectTimeout = 10 * time.Second // a machine without a network shall learn it soon
	stallTimeout   = 30 * time.Second // a download may take as long as it likes while bytes arrive
)

var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
	TLSHandshakeTimeout:   connectTimeout,
	ResponseHeaderTimeout: stallTimeout,
	DisableCompression:    true, // the files are compressed themselves
	ForceAttemptHTTP2:     true,
}}

// fetchURL hands what the URL answers to use, and gives up when nothing arrives for stallTimeout.
func fetchURL(ctx context.Context, url string, use func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	stalled := fmt.Errorf("%s: no data for %v", url, stallTimeout)
	timer := time.AfterFunc(stallTimeout, func() { cancel(stalled) })
	defer timer.Stop()
	err = use(readerFunc(func(p []byte) (int, error) {
		timer.Reset(stallTimeout)
		return response.Body.Read(p)
	}))
	if err != nil && context.Cause(ctx) == stalled {
		return stalled
	}
	return err
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
