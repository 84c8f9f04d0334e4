package exchange_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/identity/identitytest"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/token"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const (
	issuer   = "https://broker.test"
	services = `version: 1
owner: t
services:
  ledger: { upstream: "https://ledger.internal", token: { scope: [read, write, admin], bind: svid } }
  inventory: { upstream: "http://inventory.internal:8080", token: { scope: [read, write], bind: none } }
  bare: { upstream: "https://bare.internal", token: { bind: none } }
  one: { upstream: "https://shared.internal/one" }
  two: { upstream: "https://shared.internal/two" }
  hidden: https://hidden.internal
  crm: { upstream: "https://crm.internal", inject: { basic: { credential: crm/login } } }
`
	rules = `p, spiffe://a.test/orders, exchange, audience/ledger, allow
p, spiffe://a.test/orders, exchange, audience/inventory, allow
p, spiffe://a.test/orders, exchange, audience/bare, allow
p, spiffe://a.test/orders, exchange, audience/one, allow
p, spiffe://a.test/orders, exchange, audience/ghost, allow
p, spiffe://a.test/orders, introspect, audience/one, allow
p, spiffe://a.test/inventory, exchange, audience/ledger, allow
p, spiffe://a.test/inventory, exchange, audience/bare, allow
p, spiffe://a.test/inventory, introspect, audience/inventory, allow
p, spiffe://a.test/thief, exchange, audience/ledger, allow
p, spiffe://a.test/poor, exchange, audience/inventory, allow
p, user:https://idp.test|ada, exchange, audience/ledger, allow
p, user:https://idp.test|ada, exchange, audience/hidden, allow
p, group:staff, exchange, audience/inventory, allow
p, group:testers, exchange, audience/bare, allow
p, group:banned, exchange, audience/*, deny
`
)

var (
	ordersID    = spiffeid.RequireFromString("spiffe://a.test/orders")
	inventoryID = spiffeid.RequireFromString("spiffe://a.test/inventory")
	thiefID     = spiffeid.RequireFromString("spiffe://a.test/thief")
	poorID      = spiffeid.RequireFromString("spiffe://a.test/poor")
)

// broker is an exchange with everything real that it rests on.
type broker struct {
	*exchange.Service
	ring *keyring.Ring
	log  string
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	return newBrokerWith(t, "")
}

// newBrokerWith has more rules.
func newBrokerWith(t testing.TB, more string) *broker {
	t.Helper()
	snapshot, err := policy.LoadFS(fstest.MapFS{"policy.csv": {Data: []byte(rules + oauthRules + more)}})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := service.Parse(map[string][]byte{"s.yaml": []byte(services)})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), keyring.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, err := audit.Open(audit.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	keys := token.LocalKeys(ring.Lookup)
	return &broker{ring: ring, log: dir, Service: &exchange.Service{
		Point: &pep.Point{Decider: snapshot, Recorder: log}, Services: func() *service.Catalog { return catalog },
		Signer: ring, Issuer: issuer, Subjects: map[string]exchange.SubjectVerifier{exchange.TypeAccessToken: exchange.OwnTokens(issuer, keys, nil)},
	}}
}

// as returns a context whose caller has an SVID that lives for another hour.
func as(t testing.TB, id spiffeid.ID) context.Context {
	t.Helper()
	return asFor(t, id, time.Hour)
}

// thumb stands for the thumbprint of id's certificate.
func thumb(id spiffeid.ID) string {
	sum := sha256.Sum256([]byte(id.String()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func asFor(t testing.TB, id spiffeid.ID, life time.Duration) context.Context {
	t.Helper()
	return identity.NewContext(t.Context(), identity.Principal{
		Workload: identity.Workload{ID: id, Proof: identity.ByX509SVID, Thumbprint: thumb(id), NotAfter: time.Now().Add(life)},
	})
}

// read verifies a token as the service of that audience does.
func (b *broker) read(t testing.TB, raw, audience string) token.Claims {
	t.Helper()
	v := token.Verifier{Issuer: issuer, Audience: audience, Keys: token.LocalKeys(b.ring.Lookup)}
	c, err := v.VerifyWithoutPossession(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// entries returns the decision and the outcome that the log has.
func (b *broker) entries(t testing.TB, id string) (decision, outcome audit.Entry) {
	t.Helper()
	found, err := audit.Find(b.log, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		switch e.Kind {
		case audit.KindDecision:
			decision = e
		case audit.KindOutcome:
			outcome = e
		}
	}
	return decision, outcome
}

// dial is a client of the gRPC door whose caller is the one in ctx.
func (b *broker) dial(t testing.TB, ctx context.Context) intercomv1.TokenExchangeClient {
	t.Helper()
	p, _ := identity.FromContext(ctx)
	return intercomv1.NewTokenExchangeClient(identitytest.Dial(t, p, b.Register))
}

// want fails unless err is of that kind and, where one is given, of that reason.
func want(t testing.TB, what string, err error, kind fault.Kind, reason string) *fault.Error {
	t.Helper()
	e := fault.From(err)
	if err == nil || e.Kind != kind || reason != "" && e.Reason != reason {
		t.Errorf("%s: got %v (%s, %q), want %s %q", what, err, e.Kind, e.Reason, kind, reason)
	}
	return e
}
