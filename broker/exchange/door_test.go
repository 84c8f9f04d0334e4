package exchange_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

func TestTheDoorTakesEveryBinding(t *testing.T) {
	client := newBroker(t).dial(t, as(t, ordersID))
	const none, bound = intercomv1.Bind_BIND_NONE, intercomv1.Bind_BIND_X5T_S256
	for _, tc := range []struct {
		audience  string
		ask, want intercomv1.Bind
		kind      fault.Kind
	}{
		{"ledger", intercomv1.Bind_BIND_UNSPECIFIED, bound, 0},
		{"ledger", bound, bound, 0},
		{"ledger", none, 0, fault.InvalidRequest},
		{"inventory", intercomv1.Bind_BIND_UNSPECIFIED, none, 0},
		{"inventory", none, none, 0},
		{"inventory", bound, bound, 0},
		{"inventory", 99, 0, fault.InvalidRequest}, // of a later version: better refused than weaker than asked
	} {
		reply, err := client.Exchange(t.Context(), &intercomv1.ExchangeRequest{Audience: []string{tc.audience}, Bind: tc.ask})
		if tc.kind != 0 {
			want(t, tc.audience+" "+tc.ask.String(), fault.FromStatus(err), tc.kind, "")
		} else if err != nil || reply.GetBind() != tc.want {
			t.Errorf("%s, %s: bound to %s, %v", tc.audience, tc.ask, reply.GetBind(), err)
		}
	}
}

func TestWithoutACertificateNothingIsBound(t *testing.T) {
	b := newBroker(t)
	byJWT := identity.NewContext(t.Context(), identity.Principal{
		Workload: identity.Workload{ID: ordersID, Proof: identity.ByJWTSVID, NotAfter: time.Now().Add(time.Minute)},
	})
	for _, r := range []exchange.Request{{Audience: []string{"ledger"}}, {Audience: []string{"inventory"}, Bind: exchange.BindX5T}} {
		_, err := b.Exchange(byJWT, r)
		want(t, r.Audience[0], err, fault.InvalidRequest, "")
	}
	if issued, err := b.Exchange(byJWT, exchange.Request{Audience: []string{"inventory"}}); err != nil || issued.Bind != "none" {
		t.Errorf("a bearer token: %q, %v", issued.Bind, err)
	}
}

func TestMintForARequest(t *testing.T) {
	b := newBroker(t)
	b.Metrics = exchange.NewMetrics(prometheus.NewRegistry())
	grant, err := b.Point.Check(asFor(t, ordersID, time.Minute), policy.ActionExchange, policy.Entity{Type: "audience", ID: "ledger"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cnf := range []string{"", thumb(ordersID)} {
		raw, expiry, err := b.Mint(t.Context(), grant, "legacy", []string{"a", "b"}, cnf)
		if err != nil {
			t.Fatal(err)
		}
		claims := b.read(t, string(raw.Reveal()), "legacy")
		got := []any{claims.Subject, claims.ClientID, claims.Scope, claims.Confirmation, claims.Expiry.Equal(expiry), time.Until(expiry) <= time.Minute}
		if diff := cmp.Diff([]any{ordersID.String(), ordersID.String(), []string{"a", "b"}, cnf, true, true}, got); diff != "" {
			t.Error(diff)
		}
	}
	grant.Principal.Workload.NotAfter = time.Now().Add(-time.Second)
	_, _, err = b.Mint(t.Context(), grant, "legacy", nil, "")
	if e := want(t, "a proof that ended", err, fault.InvalidRequest, ""); e.Decision != grant.ID {
		t.Errorf("decision %q, want %q", e.Decision, grant.ID)
	}
}

func TestMetricsCountTokens(t *testing.T) {
	b, reg := newBroker(t), prometheus.NewRegistry()
	b.Metrics = exchange.NewMetrics(reg)
	for _, audience := range []string{"ledger", "inventory", "inventory", "hidden"} {
		_, _ = b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{audience}})
	}
	const text = `
# HELP intercom_exchange_tokens_total Tokens minted, by what they are bound to (svid or none) and whether the caller got them or its request.
# TYPE intercom_exchange_tokens_total counter
intercom_exchange_tokens_total{bind="none",for="caller"} 2
intercom_exchange_tokens_total{bind="svid",for="caller"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

// TestAnOpenIDLibraryVerifiesOurTokens takes the way of a service that knows nothing of us but the issuer.
func TestAnOpenIDLibraryVerifiesOurTokens(t *testing.T) {
	b, mux := newBroker(t), http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	b.Issuer = server.URL + "/base"
	(&exchange.Web{Issuer: b.Issuer, Keys: b.ring.JWKS}).Mount(mux)
	issued, err := b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{"inventory"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, b.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	read, err := provider.Verifier(&oidc.Config{ClientID: "inventory"}).Verify(ctx, string(issued.Token.Reveal()))
	if err != nil || read.Subject != ordersID.String() {
		t.Errorf("read %+v, %v", read, err)
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: "ledger"}).Verify(ctx, string(issued.Token.Reveal())); err == nil {
		t.Error("another service takes it")
	}
}
