package dev_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
	"github.com/intercom-broker/intercom/cmd/internal/dev"
)

// readyWithin is the promise, with room for a machine that builds other things at the same time.
func readyWithin() time.Duration {
	if os.Getenv("CI") == "true" {
		return 30 * time.Second
	}
	return 3 * time.Second
}

func start(t *testing.T, cfg dev.Config) *dev.World {
	t.Helper()
	began := time.Now()
	w, err := dev.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > readyWithin() {
		t.Errorf("ready after %v", took)
	}
	return w
}

// TestCloseLeavesNothing: no file, no listener.
func TestCloseLeavesNothing(t *testing.T) {
	w := start(t, dev.Config{Gateway: "127.0.0.1:0", Sidecar: "127.0.0.1:0"})
	var out bytes.Buffer
	if !w.Check(t.Context(), &out) {
		t.Errorf("not all behaved:\n%s", out.String())
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(w.Dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", w.Dir, err)
	}
	for _, address := range []string{w.Mesh, w.Egress, w.Admin, w.SidecarAdmin, w.Inventory, w.CRM, strings.TrimPrefix(w.Sidecar, "http://")} {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			t.Errorf("%s still listens", address)
		}
	}
}

// TestAGivenDirectoryIsKept, and serves a second start.
func TestAGivenDirectoryIsKept(t *testing.T) {
	dir, err := os.MkdirTemp("", "idev-") // not t.TempDir: a Unix socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for range 2 {
		w := start(t, dev.Config{Dir: dir, Gateway: "127.0.0.1:0", Sidecar: "127.0.0.1:0"})
		var out bytes.Buffer
		if !w.Check(t.Context(), &out) {
			t.Errorf("not all behaved:\n%s", out.String())
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "audit")); err != nil {
		t.Error(err)
	}
}

// TestThePageNamesWhatToTry, with the addresses of this very start.
func TestThePageNamesWhatToTry(t *testing.T) {
	w := start(t, dev.Config{Gateway: "127.0.0.1:0", Sidecar: "127.0.0.1:0"})
	defer func() { _ = w.Close() }()
	var out bytes.Buffer
	w.Page(&out)
	for _, want := range []string{
		"NOT FOR PRODUCTION", w.Dir, "curl -i " + w.Sidecar + "/inventory/items", "curl -i " + w.Sidecar + "/crm/customers",
		"curl -i -X DELETE " + w.Sidecar + "/crm/customers/7", "policy explain",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page does not say %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b[") {
		t.Error("the page is coloured although it does not go to a terminal")
	}
}

// TestARefusedPolicyIsSaid: who edits the policy and mistypes reads so at once, with the place.
func TestARefusedPolicyIsSaid(t *testing.T) {
	var out telemetrytest.Log
	w := start(t, dev.Config{Gateway: "127.0.0.1:0", Sidecar: "127.0.0.1:0", Alerts: &out})
	defer func() { _ = w.Close() }()
	file := filepath.Join(w.Dir, "policy", "policy.csv")
	if err := os.WriteFile(file, []byte("p, spiffe://intercom.test/orders, call, service/crm/**, Allow\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); !strings.Contains(out.String(), "policy.csv:1"); {
		if time.Now().After(end) {
			t.Fatalf("the terminal says: %s", out.String())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestRefusals: what cannot be shown is refused by the flag's name, before anything starts.
func TestRefusals(t *testing.T) {
	for _, cfg := range []dev.Config{
		{Frontend: "nonsense"}, {Frontend: "http://localhost"}, {Frontend: "http://localhost:99999"}, {Frontend: "http://u:p@localhost:5173"},
		{Frontend: "http://example.com:5173"}, {Frontend: "https://localhost:5173"}, {Gateway: "0.0.0.0:8480"}, {Gateway: "nonsense"},
	} {
		w, err := dev.Start(t.Context(), cfg)
		if err == nil {
			_ = w.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "--") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
