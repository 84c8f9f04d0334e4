package svid_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/svid"
)

func newDomain(t *testing.T, name string, life time.Duration) *embedded.Domain {
	t.Helper()
	d, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString(name), SVIDLife: life})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ic")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serve starts a Workload API at path, and returns its address and what stops it.
func serve(t *testing.T, d *embedded.Domain, path string, id spiffeid.ID) (address string, stop func()) {
	t.Helper()
	api, err := d.Listen(path, id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx); close(done) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return api.Address(), stop
}

func open(t *testing.T, cfg svid.Config) *svid.Source {
	t.Helper()
	s, err := svid.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func serialOf(t *testing.T, s x509svid.Source) string {
	t.Helper()
	own, err := s.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	return own.Certificates[0].SerialNumber.String()
}

// changesUntil waits for changes until ok.
func changesUntil(t *testing.T, s *svid.Source, what string, ok func() bool) {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		changed := s.Updated()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("after 30 s not yet: %s", what)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
