package brokertest_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/deploy/stack"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const (
	// fleet is how many sidecars are connected.
	fleet = 2000
	// fleetLimit is the memory that the broker is told it has.
	fleetLimit = 256 << 20

	fleetPolicy = `p, spiffe://intercom.test/*, exchange, audience/inventory, allow
p, spiffe://intercom.test/*, vend, credential/reports/db, allow
`
	fleetServices = `version: 1
owner: test
services:
  inventory: http://inventory.internal
  reports: { vend: { credential: reports/db } }
`
)

// BenchmarkFleet connects 2 000 sidecars to the real binary on a real Vault, kills it, starts it again, and
// takes the time until each of them has a token and a lease again, all of them asking at once. It
// reports the broker's memory for each, what the herd cost Vault, and the highest that the kernel has counted
// for the process, which was told its limit by GOMEMLIMIT.
//
//	go test -run '^$' -bench Fleet -benchtime 1x ./broker/brokertest
func BenchmarkFleet(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	v := stack.StartVault(b, stack.VaultOptions{})
	l := startLone(b, loneOptions{
		policy: fleetPolicy, services: fleetServices, env: []string{"GOMEMLIMIT=" + strconv.Itoa(fleetLimit)},
		store: func(d *embedded.Domain) string { return vaultStore(b, v, d) },
	})
	before := l.settled(b)
	clients, stop := l.connect(b, fleet)
	defer stop()
	after := l.settled(b)
	l.Kill()
	<-l.Done()
	began := time.Now()
	must(b, l.Start(b.Context()))
	served(b, clients)
	took := time.Since(began)
	b.ReportMetric(0, "ns/op") // one herd is enough, whatever b.N is
	b.ReportMetric(float64(after.resident-before.resident)/(1<<10)/fleet, "KiB/sidecar")
	b.ReportMetric(took.Seconds(), "s-until-all-served")
	b.ReportMetric(vaultRequests(b, l.metrics(b)), "vault-requests")
	peak := l.peak(b)
	b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
	if peak > fleetLimit {
		b.Errorf("the broker took %d MiB, and was told that it has %d", peak>>20, fleetLimit>>20)
	}
}

// served returns when each client has a token and a lease.
func served(b *testing.B, clients []*client.Client) {
	b.Helper()
	var all errgroup.Group
	for _, c := range clients {
		all.Go(func() error {
			return insist(b.Context(), func(ctx context.Context) error {
				if _, err := c.Exchange(ctx, &intercomv1.ExchangeRequest{Audience: []string{"inventory"}}); err != nil {
					return err
				}
				_, err := c.Lease(ctx, &intercomv1.LeaseRequest{Credential: "reports/db"})
				return err
			})
		})
	}
	must(b, all.Wait())
}

// insist tries for two minutes, as a sidecar would for as long as its budget lasts.
func insist(ctx context.Context, do func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if err = do(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// peak is the highest resident size so far, in bytes.
func (l *lone) peak(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.PID()))
	must(b, err)
	return number(b, string(text), "VmHWM:") << 10
}

// vaultRequests adds up what the broker counts by operation and result.
func vaultRequests(b *testing.B, metrics string) (sum float64) {
	b.Helper()
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "intercom_vault_requests_total{") {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			must(b, err)
			sum += n
		}
	}
	if sum == 0 {
		b.Fatal("the broker counts no requests to Vault")
	}
	return sum
}

// vaultStore prepares v for the broker of d, and returns the store's part of its configuration.
func vaultStore(b *testing.B, v *stack.VaultServer, d *embedded.Domain) string {
	b.Helper()
	kv, login := v.KV(b), v.Auth(b, "jwt")
	v.Call(b, http.MethodPost, kv+"/data/intercom/reports/db", map[string]any{"data": map[string]any{"username": "reports", "password": "not-a-secret"}})
	policy := v.Policy(b, fmt.Sprintf(`path "%s/*" { capabilities = ["create", "read", "update", "delete", "list"] }`, kv))
	var keys []string
	for _, key := range d.Bundle().JWTAuthorities() {
		der, err := x509.MarshalPKIXPublicKey(key)
		must(b, err)
		keys = append(keys, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	v.Call(b, http.MethodPost, "auth/"+login+"/config", map[string]any{"jwt_validation_pubkeys": keys})
	v.Call(b, http.MethodPost, "auth/"+login+"/role/broker", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_subject": d.ID("/broker").String(), "bound_audiences": []string{"vault"},
		"token_policies": []string{policy}, "token_ttl": "10m",
	})
	return fmt.Sprintf(`vault: { address: %q, ca: %q, mount: %s, auth: { method: jwt, mount: %s, role: broker, audience: vault } }`, v.Addr, v.CACert, kv, login)
}
