package brokertest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/token"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

func (w *system) sealVault(t *testing.T) {
	app := application()
	w.writePolicy(t, basePolicy+"p, spiffe://a.test/orders, call, service/archive/GET/**, allow\n")
	must(t, w.vault.Seal(t.Context()))
	// What was read before is served within its budget; what was not is refused, with the reason.
	for range 20 {
		must(t, is(t.Context(), app, http.StatusOK, w.orders.url+"/crm/customers"))
	}
	eventually(t, "the reason is told", func() error {
		status, body, h, err := get(t.Context(), app, http.MethodGet, w.orders.url+"/archive/old")
		if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "VAULT_SEALED") || h.Get("Retry-After") == "" {
			return fmt.Errorf("%d %s %v, %w", status, body, h, err)
		}
		return nil
	})
	must(t, w.vault.Unseal(t.Context()))
	eventually(t, "archive is served again", func() error { return is(t.Context(), app, http.StatusOK, w.orders.url+"/archive/old") })

	// A new version is taken without a restart.
	w.plant(t, "crm/login", plantedRotated)
	w.seen.accept(plantedRotated)
	eventually(t, "the new version is injected", func() error { return is(t.Context(), app, http.StatusOK, w.orders.url+"/crm/customers") })
}

// clientOf returns a client of one replica only.
func (w *system) clientOf(t *testing.T, b *brokerProcess) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{
		Addresses: []string{b.mesh}, Source: w.identity, Brokers: tlsconfig.AuthorizeID(spiffeid.RequireFromString("spiffe://a.test/broker")),
	})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func exchange(ctx context.Context, c *client.Client) (*intercomv1.ExchangeResponse, error) {
	return c.Exchange(ctx, &intercomv1.ExchangeRequest{Audience: []string{"inventory"}})
}

func (w *system) killReplica(t *testing.T) {
	second := w.brokers[1]
	issued, err := exchange(t.Context(), w.clientOf(t, second))
	must(t, err)
	second.Kill()
	// A verifier that never saw the killed replica's key finds it at the other one.
	v := &token.Verifier{Issuer: w.issuer(), Audience: "inventory", Keys: token.RemoteKeys(w.webClient(), w.issuer()+"/oauth2/jwks")}
	claims, err := v.Verify(t.Context(), issued.GetAccessToken(), nil)
	if err != nil || claims.Subject != "spiffe://a.test/tester" {
		t.Errorf("a token of the killed replica: %+v, %v", claims, err)
	}
	// A client of both goes on at the one that is left.
	for range 20 {
		if _, err := exchange(t.Context(), w.client); err != nil {
			t.Errorf("an exchange while one of two replicas is dead: %v", err)
		}
	}
	w.restart(t, second)
}

// killUnderLoad takes grants from one replica while it is killed, again and again, and then holds its
// audit log against what the callers were told.
func (w *system) killUnderLoad(t *testing.T) {
	first := w.brokers[0]
	var mu sync.Mutex
	var granted []string
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 8 {
		c := w.clientOf(t, first)
		callers.Go(func() {
			for ctx.Err() == nil {
				if issued, err := exchange(ctx, c); err == nil {
					mu.Lock()
					granted = append(granted, issued.GetProvenance().GetDecisionId())
					mu.Unlock()
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(granted)
	}
	for range 3 {
		before := count()
		eventually(t, "grants by the broker that is to be killed", func() error {
			if n := count() - before; n < 200 {
				return fmt.Errorf("%d grants", n)
			}
			return nil
		})
		first.Kill()
		w.restart(t, first)
	}
	stop()
	callers.Wait()
	if out, err := w.run(t, "audit", "verify", "--audit", w.path("audit-"+first.name)); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	w.allRecorded(t, first, granted)
	t.Logf("%d grants over 3 kills, all recorded", len(granted))
}

func (w *system) allRecorded(t *testing.T, b *brokerProcess, granted []string) {
	t.Helper()
	recorded := map[string]bool{}
	for e, err := range audit.Tail(t.Context(), w.path("audit-"+b.name), audit.TailConfig{}) {
		must(t, err)
		if e.Kind == audit.KindDecision && e.Allow {
			recorded[e.Decision] = true
		}
	}
	for _, id := range granted {
		if !recorded[id] {
			t.Errorf("%s was granted and is not recorded", id)
		}
	}
}

// nothingLeaked looks for the planted credentials, and for a token, in all that anybody can read.
func (w *system) nothingLeaked(t *testing.T) {
	places := w.readable(t)
	if len(places["traces"]) == 0 {
		t.Error("no trace was received: there was nothing to look at")
	}
	for _, s := range []string{plantedPassword, plantedRotated, w.seen.lastToken()} {
		forms := []string{s, base64.StdEncoding.EncodeToString([]byte(plantedUser + ":" + s)), fmt.Sprintf("%x", s)}
		for place, content := range places {
			for _, form := range forms {
				if form != "" && bytes.Contains(content, []byte(form)) {
					t.Errorf("%s shows a secret", place)
				}
			}
		}
	}
	t.Logf("looked in %d places", len(places))
}

func (w *system) readable(t *testing.T) map[string][]byte {
	t.Helper()
	places := map[string][]byte{"traces": w.traces.received()}
	for _, p := range w.processes() {
		for _, name := range []string{"environ", "cmdline"} {
			file := fmt.Sprintf("/proc/%d/%s", p.PID(), name)
			content, err := os.ReadFile(file)
			must(t, err)
			places[file] = content
		}
	}
	for _, admin := range []string{w.brokers[0].admin, w.brokers[1].admin, w.orders.admin, w.partner.admin} {
		for _, path := range []string{"/metrics", "/readyz", "/debug/pprof/goroutine?debug=2"} {
			_, body, _, err := get(t.Context(), application(), http.MethodGet, "http://"+admin+path)
			must(t, err)
			places[admin+path] = []byte(body)
		}
	}
	must(t, filepath.WalkDir(w.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(file, w.bin) {
			return err
		}
		places[file], err = os.ReadFile(file)
		return err
	}))
	return places
}
