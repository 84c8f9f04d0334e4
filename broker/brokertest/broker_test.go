package brokertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/broker/token"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const (
	somePolicy = "p, spiffe://intercom.test/orders, exchange, audience/inventory, allow\n" +
		"p, spiffe://intercom.test/operator, reflect, grpc, allow\n"
	someServices = "version: 1\nowner: test\nservices:\n  inventory: http://inventory.internal\n"
)

func inventoryToken(ctx context.Context, b *brokertest.Broker, t *testing.T, path string) (*intercomv1.ExchangeResponse, error) {
	t.Helper()
	return b.Client(t, path).Exchange(ctx, &intercomv1.ExchangeRequest{Audience: []string{"inventory"}})
}

// TestTokenVerifiesAgainstTheWebDoor is the shortest whole walk: identity, policy, audit, mint, JWKS.
func TestTokenVerifiesAgainstTheWebDoor(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Policy: somePolicy, Services: someServices})
	issued, err := inventoryToken(t.Context(), b, t, "/orders")
	if err != nil {
		t.Fatal(err)
	}
	v := &token.Verifier{Issuer: b.Issuer, Audience: "inventory", Keys: token.RemoteKeys(nil, b.Issuer+"/oauth2/jwks")}
	claims, err := v.Verify(t.Context(), issued.GetAccessToken(), nil)
	if err != nil || claims.Subject != b.ID("/orders").String() {
		t.Errorf("the token says %+v, %v", claims, err)
	}
	p := issued.GetProvenance()
	if p.GetDecisionId() == "" || p.GetPolicyRevision() == "" || p.GetServedFrom() != intercomv1.ServedFrom_SERVED_FROM_LIVE {
		t.Errorf("provenance %v", p)
	}
	if _, err := inventoryToken(t.Context(), b, t, "/billing"); !errors.Is(err, fault.Denied) && !errors.Is(err, fault.InvalidTarget) {
		t.Errorf("a caller whom no rule names: %v", err)
	}
}

// TestInFlightLimit fills a caller's share with streams; the call after it is answered at once, with a
// time to try again, and another caller is not concerned.
func TestInFlightLimit(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Policy: somePolicy, Services: someServices, InFlight: 2})
	c := b.Client(t, "/orders")
	for range 2 {
		started := make(chan struct{})
		go func() {
			for range c.WatchServices(t.Context()) {
				select {
				case <-started:
				default:
					close(started)
				}
			}
		}()
		select {
		case <-started:
		case <-time.After(30 * time.Second):
			t.Fatal("no list of services")
		}
	}
	_, err := c.Exchange(t.Context(), &intercomv1.ExchangeRequest{Audience: []string{"inventory"}})
	if e := fault.From(err); e.Kind != fault.Overloaded || e.Reason != "IN_FLIGHT_LIMIT" || e.RetryAfter <= 0 {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := inventoryToken(t.Context(), b, t, "/billing"); errors.Is(err, fault.Overloaded) {
		t.Errorf("another caller: %v", err)
	}
}

// TestReflectionIsAnAct: off unless configured, and then for those whom policy allows it.
func TestReflectionIsAnAct(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Policy: somePolicy, Services: someServices, Change: func(c *broker.Config) { c.Reflection = true }})
	if err := reflect(t, b, "/operator"); err != nil {
		t.Errorf("whom policy allows it: %v", err)
	}
	if err := reflect(t, b, "/orders"); !errors.Is(fault.FromStatus(err), fault.Denied) {
		t.Errorf("whom policy does not: %v", err)
	}
	off := brokertest.Start(t, brokertest.Options{Policy: somePolicy, Services: someServices})
	if err := reflect(t, off, "/operator"); err == nil {
		t.Error("reflection answers where it is not configured")
	}
}

func reflect(t *testing.T, b *brokertest.Broker, path string) error {
	t.Helper()
	source := b.Domain.Source(b.ID(path))
	config := mtls.Client(source, source, tlsconfig.AuthorizeID(b.ID("/broker")), "h2")
	conn, err := grpc.NewClient("passthrough:///"+b.Mesh, grpc.WithTransportCredentials(mtls.ClientCredentials(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		return err
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil && !errors.Is(err, io.EOF) {
		return err // io.EOF means that the stream has ended already; Recv says why
	}
	_, err = stream.Recv()
	return err
}

// TestReadiness names each part.
func TestReadiness(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Policy: somePolicy, Services: someServices})
	var parts map[string]string
	eventually(t, "ready", func() error {
		status, body, _, err := get(t.Context(), application(), http.MethodGet, "http://"+b.Admin+"/readyz")
		if err == nil && status != http.StatusOK {
			err = errors.New(body)
		}
		return errors.Join(err, json.Unmarshal([]byte(body), &parts))
	})
	for _, part := range []string{"identity", "audit", "store", "keys", "services"} {
		if parts[part] != "ok" {
			t.Errorf("%s: %q", part, parts[part])
		}
	}
}

// TestMetadataNamesTheIssuer as RFC 8414, section 3.3 wants it compared.
func TestMetadataNamesTheIssuer(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Policy: somePolicy, Services: someServices})
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		_, body, _, err := get(t.Context(), application(), http.MethodGet, b.Issuer+path)
		if err != nil || !strings.Contains(body, `"issuer":"`+b.Issuer+`"`) {
			t.Errorf("%s: %s, %v", path, body, err)
		}
	}
}

// TestClosing: while calls in flight are waited for, both ways of asking say that we are not ready.
func TestClosing(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	defer log.Close()
	b := brokertest.Start(t, brokertest.Options{Policy: somePolicy, Services: someServices, Log: log,
		Change: func(c *broker.Config) { c.Grace = strict.Duration(3 * time.Second) }})
	health := healthOf(t, b)
	eventually(t, "serving", func() error { return servingIs(t, health, grpc_health_v1.HealthCheckResponse_SERVING) })
	started := make(chan struct{}, 16)
	go func() {
		for range b.Client(t, "/orders").WatchServices(t.Context()) { // what is in flight
			started <- struct{}{}
		}
	}()
	<-started
	b.Stop()
	eventually(t, "closing is said", func() error {
		status, body, _, err := get(t.Context(), application(), http.MethodGet, "http://"+b.Admin+"/readyz")
		if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, "closing")) {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	})
	eventually(t, "its log tells of it", func() error {
		text, err := os.ReadFile(log.Name())
		if _, end, found := strings.Cut(string(text), `"closing: `); err == nil && (!found || !strings.Contains(end, `"closed"`)) {
			err = errors.New(string(text))
		}
		return err
	})
}

func healthOf(t *testing.T, b *brokertest.Broker) grpc_health_v1.HealthClient {
	t.Helper()
	source := b.Domain.Source(b.ID("/orders"))
	config := mtls.Client(source, source, tlsconfig.AuthorizeID(b.ID("/broker")), "h2")
	conn, err := grpc.NewClient("passthrough:///"+b.Mesh, grpc.WithTransportCredentials(mtls.ClientCredentials(config)))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_health_v1.NewHealthClient(conn)
}

func servingIs(t *testing.T, c grpc_health_v1.HealthClient, want grpc_health_v1.HealthCheckResponse_ServingStatus) error {
	t.Helper()
	res, err := c.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err == nil && res.GetStatus() != want {
		err = fmt.Errorf("health says %v", res.GetStatus())
	}
	return err
}
