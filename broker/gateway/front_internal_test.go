package gateway

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPanic: a mistake of ours costs one request, whose answer is broken off, and never looks whole; the log has the
// place, and nothing of what was asked.
func TestPanic(t *testing.T) {
	var text bytes.Buffer
	srv := httptest.NewServer(recovered(slog.New(slog.NewTextHandler(&text, nil)), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/panic" {
			panic(r.URL.RawQuery)
		}
	})))
	get := func(path string) error {
		res, err := http.Get(srv.URL + path) //nolint:noctx // a test's
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
		return err
	}
	if err := get("/panic?token=hunter2"); err == nil {
		t.Error("the answer looks whole")
	}
	if err := get("/"); err != nil {
		t.Errorf("the next request: %v", err)
	}
	srv.Close()
	if said := text.String(); !strings.Contains(said, "front_internal_test.go") || strings.Contains(said, "hunter2") {
		t.Error(said)
	}
}
