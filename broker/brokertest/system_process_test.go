package brokertest_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// brokerProcess is one replica.
type brokerProcess struct {
	*stack.Process
	name                          string
	mesh, egress, web, admin, log string
	vaultAuth                     string
}

// sidecarProcess is one sidecar.
type sidecarProcess struct {
	*stack.Process
	url, admin, log string
}

// reserveWeb chooses the addresses of the brokers, which services and Vault must know beforehand.
func (w *system) reserveWeb(t *testing.T) {
	t.Helper()
	w.kv = w.vault.KV(t)
	auth := w.vault.Auth(t, "jwt")
	for _, name := range []string{"broker-1", "broker-2"} {
		w.brokers = append(w.brokers, &brokerProcess{
			name: name, mesh: freeAddress(t), egress: freeAddress(t), web: freeAddress(t), admin: freeAddress(t),
			log: w.path(name + ".log"), vaultAuth: auth,
		})
	}
}

func (w *system) startBrokers(t *testing.T) {
	t.Helper()
	for _, b := range w.brokers {
		w.write(t, b.name+".yaml", w.brokerFile(b))
		var err error
		b.Process, err = stack.Start(t.Context(), stack.Command{
			Name: b.name, Path: filepath.Join(w.bin, "intercom-broker"), Args: []string{"--config", w.path(b.name + ".yaml")},
			Dir: w.dir, Log: b.log, Ready: func(ctx context.Context) error {
				// The web door opens first: it is what Vault needs before a broker can be ready.
				return is(ctx, w.webClient(), http.StatusOK, "https://"+b.web+"/.well-known/spiffe/jwks")
			},
		})
		must(t, err)
		t.Cleanup(func() { _ = b.Stop() })
	}
}

func (w *system) brokerFile(b *brokerProcess) string {
	return fmt.Sprintf(`version: 1
issuer: %s
identity: { socket: "%s", allow: [b.test] }
listen:
  mesh: %s
  egress: %s
  web: { address: %s, cert: web.pem, key: web-key.pem }
  admin: %s
policy: policy
services: services
store:
  vault:
    address: %s
    ca: %s
    mount: %s
    auth: { method: jwt, mount: %s, role: broker, audience: vault }
  fresh: 1s
audit: { dir: audit-%s }
telemetry: { log: debug, otlp: "http://%s" }
grace: 2s
`, w.issuer(), w.a.AgentSocket, b.mesh, b.egress, b.web, b.admin, w.vault.Addr, w.vault.CACert, w.kv, b.vaultAuth, b.name, w.traces.address)
}

func (w *system) brokersReady(t *testing.T) {
	t.Helper()
	for _, b := range w.brokers {
		eventually(t, b.name+" is ready", func() error { return is(t.Context(), application(), http.StatusOK, "http://"+b.admin+"/readyz") })
	}
}

func (w *system) startSidecars(t *testing.T) {
	t.Helper()
	w.orders = w.startSidecar(t, "orders", w.a)
	w.partner = w.startSidecar(t, "partner", w.b)
}

func (w *system) startSidecar(t *testing.T, name string, d *stack.Domain) *sidecarProcess {
	t.Helper()
	address, admin := freeAddress(t), freeAddress(t)
	s := &sidecarProcess{url: "http://" + address, admin: admin, log: w.path(name + ".log")}
	w.write(t, name+".yaml", w.sidecarFile(d, address, admin))
	var err error
	s.Process, err = stack.Start(t.Context(), stack.Command{
		Name: name, Path: filepath.Join(w.bin, name), Args: []string{"--config", w.path(name + ".yaml")}, Dir: w.dir, Log: s.log,
		Ready: func(ctx context.Context) error {
			return is(ctx, application(), http.StatusOK, "http://"+admin+"/readyz")
		},
	})
	must(t, err)
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// restart starts a killed replica again and waits until it is ready.
func (w *system) restart(t *testing.T, b *brokerProcess) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, b.Start(ctx))
	eventually(t, b.name+" is ready again", func() error { return is(ctx, application(), http.StatusOK, "http://"+b.admin+"/readyz") })
}

func (w *system) sidecarFile(d *stack.Domain, address, admin string) string {
	return fmt.Sprintf(`version: 1
identity: { socket: "%s" }
brokers:
  id: spiffe://a.test/broker
  mesh: [%s, %s]
  egress: [%s, %s]
listen: { address: %s }
admin: %s
`, d.AgentSocket, w.brokers[0].mesh, w.brokers[1].mesh, w.brokers[0].egress, w.brokers[1].egress, address, admin)
}
