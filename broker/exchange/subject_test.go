package exchange_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

// given is what orders gives to inventory with a call: a token for inventory.
func given(t *testing.T, b *broker, ctx context.Context, scope ...string) secret.Value {
	t.Helper()
	issued, err := b.Exchange(ctx, exchange.Request{Audience: []string{"inventory"}, Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

func onBehalf(subject secret.Value, audience string, scope ...string) exchange.Request {
	return exchange.Request{Audience: []string{audience}, Scope: scope, SubjectToken: subject, SubjectTokenType: exchange.TypeAccessToken}
}

func TestDelegationNamesTheActor(t *testing.T) {
	b := newBroker(t)
	issued, err := b.Exchange(as(t, inventoryID), onBehalf(given(t, b, as(t, ordersID)), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	claims := b.read(t, string(issued.Token.Reveal()), "ledger")
	got := []any{claims.Subject, claims.ClientID, claims.Act, claims.Scope, claims.Confirmation}
	// ledger takes admin too, and orders never held it.
	wanted := []any{ordersID.String(), inventoryID.String(), &token.Actor{Subject: inventoryID.String()}, []string{"read", "write"}, thumb(inventoryID)}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
	if decision, outcome := b.entries(t, issued.Decision); decision.Subject != inventoryID.String() || outcome.Result != "ok" {
		t.Errorf("decision %+v, outcome %+v", decision.Event, outcome.Event)
	}
}

func TestTheChainOfActorsGrows(t *testing.T) {
	b := newBroker(t)
	chain := &token.Actor{Subject: "spiffe://a.test/second", Act: &token.Actor{Subject: "spiffe://a.test/first"}}
	b.Subjects["x"] = func(context.Context, string) (exchange.Subject, error) {
		s := exchange.Subject{Act: chain}
		s.Workload.ID = ordersID
		return s, nil
	}
	req := exchange.Request{Audience: []string{"ledger"}, SubjectToken: secret.FromString("x"), SubjectTokenType: "x"}
	issued, err := b.Exchange(as(t, inventoryID), req)
	if err != nil {
		t.Fatal(err)
	}
	claims := b.read(t, string(issued.Token.Reveal()), "ledger")
	if diff := cmp.Diff(&token.Actor{Subject: inventoryID.String(), Act: chain}, claims.Act); diff != "" {
		t.Error(diff)
	}
	for range token.MaxActors {
		chain = &token.Actor{Subject: "spiffe://a.test/more", Act: chain}
	}
	_, err = b.Exchange(as(t, inventoryID), req)
	want(t, "too long a chain", err, fault.InvalidRequest, "")
}

// TestDelegationTakesThreeDecisions takes each of them away in turn.
func TestDelegationTakesThreeDecisions(t *testing.T) {
	b := newBroker(t)
	forInventory := given(t, b, as(t, ordersID))
	for name, tc := range map[string]struct {
		caller   spiffeid.ID
		req      exchange.Request
		kind     fault.Kind
		reason   string
		decision [3]string
	}{
		"the caller may not have the target": {inventoryID, onBehalf(forInventory, "inventory"), fault.InvalidTarget, "",
			[3]string{inventoryID.String(), "exchange", "audience/inventory"}},
		"the token was not meant for the caller": {thiefID, onBehalf(forInventory, "ledger"), fault.InvalidRequest, "SUBJECT_TOKEN_NOT_MEANT",
			[3]string{thiefID.String(), "introspect", "audience/inventory"}},
		"the subject may not have the target": {inventoryID, onBehalf(given(t, b, as(t, poorID)), "bare"), fault.InvalidTarget, "",
			[3]string{poorID.String(), "exchange", "audience/bare"}},
	} {
		_, err := b.Exchange(as(t, tc.caller), tc.req)
		e := want(t, name, err, tc.kind, tc.reason)
		decision, _ := b.entries(t, e.Decision)
		if got := [3]string{decision.Subject, decision.Action, decision.Resource}; got != tc.decision || decision.Allow {
			t.Errorf("%s: the decision in the answer is %v", name, got)
		}
	}
}

func TestASubjectThatIsTheCallerNeedsNoMore(t *testing.T) {
	b := newBroker(t)
	own, err := b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{"inventory"}, Scope: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := b.Exchange(as(t, ordersID), onBehalf(own.Token, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	claims := b.read(t, string(issued.Token.Reveal()), "ledger")
	if claims.Act != nil || claims.Subject != ordersID.String() || !cmp.Equal(claims.Scope, []string{"read"}) {
		t.Errorf("%+v", claims)
	}
}

func TestSubjectTokensThatDoNotCount(t *testing.T) {
	b, other := newBroker(t), newBroker(t)
	claims := token.Claims{
		Issuer: issuer, Subject: ordersID.String(), ClientID: ordersID.String(), Audience: []string{"inventory"},
		IssuedAt: time.Now(), Expiry: time.Now().Add(time.Minute),
	}
	mint := func(ring *keyring.Ring, change func(*token.Claims)) secret.Value {
		t.Helper()
		c := claims
		change(&c)
		raw, err := token.Mint(t.Context(), ring, c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, tc := range map[string]struct {
		raw    secret.Value
		kind   fault.Kind
		reason string
	}{
		"another's key":  {mint(other.ring, func(*token.Claims) {}), fault.InvalidRequest, "SUBJECT_TOKEN_INVALID"},
		"another issuer": {mint(b.ring, func(c *token.Claims) { c.Issuer = "https://other.test" }), fault.InvalidRequest, "SUBJECT_TOKEN_INVALID"},
		"no workload":    {mint(b.ring, func(c *token.Claims) { c.Subject = "ada" }), fault.InvalidRequest, "SUBJECT_TOKEN_INVALID"},
		"two audiences":  {mint(b.ring, func(c *token.Claims) { c.Audience = []string{"inventory", "ledger"} }), fault.InvalidRequest, "SUBJECT_TOKEN_INVALID"},
		"no JWT":         {secret.FromString("a.b.c"), fault.InvalidRequest, "SUBJECT_TOKEN_INVALID"},
	} {
		_, err := b.Exchange(as(t, inventoryID), onBehalf(tc.raw, "ledger"))
		want(t, name, err, tc.kind, tc.reason)
	}
	b.Subjects[exchange.TypeAccessToken] = exchange.OwnTokens(issuer, token.LocalKeys(b.ring.Lookup), func() time.Time { return time.Now().Add(time.Hour) })
	_, err := b.Exchange(as(t, inventoryID), onBehalf(mint(b.ring, func(*token.Claims) {}), "ledger"))
	want(t, "an old token", err, fault.InvalidRequest, "SUBJECT_TOKEN_INVALID")
	b.Subjects[exchange.TypeAccessToken] = func(context.Context, string) (exchange.Subject, error) {
		return exchange.Subject{}, fault.New(fault.Unavailable, "KEYS", "keys cannot be had")
	}
	_, err = b.Exchange(as(t, inventoryID), onBehalf(mint(b.ring, func(*token.Claims) {}), "ledger"))
	want(t, "keys that cannot be had", err, fault.Unavailable, "KEYS")
}

func TestANewTokenEndsWithTheSubjectToken(t *testing.T) {
	b := newBroker(t)
	short := given(t, b, asFor(t, ordersID, 30*time.Second))
	issued, err := b.Exchange(as(t, inventoryID), onBehalf(short, "ledger"))
	if left := time.Until(issued.Expiry); err != nil || left > 30*time.Second {
		t.Errorf("ends in %s, %v", left, err)
	}
}

func TestScopeOfASubjectTokenIsNeverWidened(t *testing.T) {
	b := newBroker(t)
	reads := given(t, b, as(t, ordersID), "read")
	_, err := b.Exchange(as(t, inventoryID), onBehalf(reads, "ledger", "write"))
	want(t, "write from a token that reads", err, fault.InvalidScope, "")
	issued, err := b.Exchange(as(t, inventoryID), onBehalf(reads, "ledger"))
	if err != nil || !cmp.Equal(issued.Scope, []string{"read"}) {
		t.Errorf("scope %v, %v", issued.Scope, err)
	}
	none, err := b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{"bare"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Exchange(as(t, ordersID), onBehalf(none.Token, "ledger"))
	want(t, "anything from a token that holds nothing", err, fault.InvalidScope, "")
}

func TestAJWTSVIDIsASubject(t *testing.T) {
	domain, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("a.test")})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := authn.New(authn.Config{Domains: []spiffeid.TrustDomain{domain.Name()}, JWTBundles: domain.Source(ordersID), Audience: issuer})
	if err != nil {
		t.Fatal(err)
	}
	b := newBroker(t)
	b.Subjects[exchange.TypeJWT] = exchange.JWTSVIDs(verifier)
	for audience, kind := range map[string]fault.Kind{issuer: fault.Internal, "https://elsewhere.test": fault.InvalidRequest} {
		svid, err := domain.JWTSVID(ordersID, audience)
		if err != nil {
			t.Fatal(err)
		}
		issued, err := b.Exchange(as(t, inventoryID), exchange.Request{
			Audience: []string{"ledger"}, SubjectToken: secret.FromString(svid.Marshal()), SubjectTokenType: exchange.TypeJWT,
		})
		if audience != issuer {
			want(t, audience, err, kind, "SUBJECT_TOKEN_INVALID")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		claims := b.read(t, string(issued.Token.Reveal()), "ledger")
		if claims.Subject != ordersID.String() || claims.Act == nil || claims.Act.Subject != inventoryID.String() || claims.Expiry.After(svid.Expiry) {
			t.Errorf("%+v", claims)
		}
	}
}
