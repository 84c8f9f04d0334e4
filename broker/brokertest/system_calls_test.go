package brokertest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
)

func (w *system) callByToken(t *testing.T) {
	app := application()
	if status, body, _, err := get(t.Context(), app, http.MethodGet, w.inventory+"/items"); err != nil || status != http.StatusUnauthorized {
		t.Fatalf("inventory without a token: %d %s, %v", status, body, err)
	}
	wants(t, app, http.StatusOK, "stock for spiffe://a.test/orders", http.MethodGet, w.orders.url+"/inventory/items")
}

// ledgerConn is how an application with a gRPC client reaches ledger: at the sidecar, under ledger's name.
func (w *system) ledgerConn(t *testing.T) grpc_health_v1.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(w.orders.url, "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("ledger"))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_health_v1.NewHealthClient(conn)
}

func (w *system) callByBoundToken(t *testing.T) {
	res, err := w.ledgerConn(t).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || res.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("ledger: %v, %v", res, err)
	}
}

func (w *system) callByInjection(t *testing.T) {
	h := wants(t, application(), http.StatusOK, "GET /customers for "+plantedUser, http.MethodGet, w.orders.url+"/crm/customers")
	if h.Get(fault.DecisionHeader) == "" {
		t.Error("the answer has no decision id")
	}
}

func (w *system) callDenied(t *testing.T) {
	h := wants(t, application(), http.StatusForbidden, "", http.MethodDelete, w.orders.url+"/crm/customers/7")
	id := h.Get(fault.DecisionHeader)
	if id == "" {
		t.Fatal("the refusal has no decision id")
	}
	for _, b := range w.brokers { // the decision is in the log of the replica that took it
		out, err := w.run(t, "policy", "explain", "--audit", w.path("audit-"+b.name), id)
		if err != nil && strings.Contains(out, "denied") && strings.Contains(out, "policy.csv:5") {
			return
		}
		t.Logf("%s: %s", b.name, out)
	}
	t.Errorf("no replica's log explains %s", id)
}

// foreignCaller is a workload of a trust domain that nobody named, with an SVID that is good there.
func (w *system) foreignCaller(t *testing.T) {
	evil, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("evil.test")})
	must(t, err)
	svid, err := evil.X509SVID(evil.ID("/orders"))
	must(t, err)
	anyBroker := mtls.AllowDomains(spiffeid.RequireTrustDomainFromString("a.test"))
	conn, err := (&tls.Dialer{Config: mtls.Client(svid, w.identity, anyBroker, "h2")}).DialContext(t.Context(), "tcp", w.brokers[0].mesh)
	if err == nil { // TLS 1.3: the client learns of the refusal when it reads
		defer conn.Close()
		must(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "bad certificate") && !strings.Contains(err.Error(), "remote error") {
		t.Fatalf("a foreign caller: %v", err)
	}
}

func (w *system) federatedCaller(t *testing.T) {
	wants(t, application(), http.StatusOK, "stock for spiffe://b.test/partner", http.MethodGet, w.partner.url+"/inventory/items")
	// No rule names partner for crm: to be federated is not enough.
	status, body, _, err := get(t.Context(), application(), http.MethodGet, w.partner.url+"/crm/customers")
	if err != nil || status != http.StatusForbidden && status != http.StatusNotFound {
		t.Errorf("crm for partner: %d %s, %v", status, body, err)
	}
}

func (w *system) policyChanges(t *testing.T) {
	defer w.writePolicy(t, basePolicy)
	url := w.orders.url + "/crm/customers"
	w.writePolicy(t, strings.Replace(basePolicy, "service/crm/GET/**, allow", "service/crm/GET/**, deny", 1))
	eventually(t, "a deny acts", func() error { return is(t.Context(), application(), http.StatusForbidden, url) })

	// What is broken does not come into force: the deny stays, and the log says why.
	w.writePolicy(t, "p, spiffe://a.test/orders, call, service/crm/GET/**, Allow\n")
	eventually(t, "the refusal is logged with its place", func() error {
		for _, b := range w.brokers {
			if !strings.Contains(b.LogTail(400), "policy.csv:1") {
				return fmt.Errorf("%s says nothing", b.name)
			}
		}
		return nil
	})
	must(t, is(t.Context(), application(), http.StatusForbidden, url))

	w.writePolicy(t, basePolicy)
	eventually(t, "the allow is back", func() error { return is(t.Context(), application(), http.StatusOK, url) })
}

// load runs all three kinds of calls until ctx ends, and returns how many were made and what failed.
func (w *system) load(ctx context.Context, t *testing.T) (calls int, failures []error) {
	app, ledger := application(), w.ledgerConn(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; calls++ {
		var err error
		switch calls % 3 {
		case 0:
			err = is(context.WithoutCancel(ctx), app, http.StatusOK, w.orders.url+"/inventory/items")
		case 1:
			err = is(context.WithoutCancel(ctx), app, http.StatusOK, w.orders.url+"/crm/customers")
		case 2:
			_, err = ledger.Check(context.WithoutCancel(ctx), &grpc_health_v1.HealthCheckRequest{})
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("call %d: %w", calls, err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return calls, failures
}

func (w *system) rotateUnderLoad(t *testing.T) {
	before := w.brokerSerial(t)
	ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second) // two rotations of 25 s each
	defer cancel()
	calls, failures := w.load(ctx, t)
	if len(failures) > 0 {
		t.Errorf("%d of %d calls failed, the first: %v", len(failures), calls, failures[0])
	}
	if w.brokerSerial(t) == before {
		t.Error("the broker's SVID was not rotated: the load proves nothing")
	}
	t.Logf("%d calls", calls)
}

// brokerSerial is the serial number of the certificate that the mesh door shows now.
func (w *system) brokerSerial(t *testing.T) string {
	t.Helper()
	brokers := mtls.AllowDomains(spiffeid.RequireTrustDomainFromString("a.test"))
	conn, err := (&tls.Dialer{Config: mtls.Client(w.identity, w.identity, brokers, "h2")}).DialContext(t.Context(), "tcp", w.brokers[0].mesh)
	must(t, err)
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}
