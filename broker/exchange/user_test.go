package exchange_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

const idp = "https://idp.test"

// users makes "x" a subject token of ada's, with changes.
func (b *broker) users(change func(*exchange.Subject)) {
	b.Subjects["x"] = func(context.Context, string) (exchange.Subject, error) {
		s := exchange.Subject{Limited: true, Scope: []string{"openid", "read", "write"}, User: &identity.User{
			Issuer: idp, Subject: "ada", Groups: []string{"staff"}, Proof: identity.ByOIDC, NotAfter: time.Now().Add(time.Hour),
		}}
		change(&s)
		return s, nil
	}
}

func forUser(audience string, scope ...string) exchange.Request {
	return exchange.Request{Audience: []string{audience}, Scope: scope, SubjectToken: secret.FromString("a user's"), SubjectTokenType: "x"}
}

func unchanged(*exchange.Subject) {}

func TestAUserIsTheSubject(t *testing.T) {
	b := newBroker(t)
	b.users(unchanged)
	issued, err := b.Exchange(as(t, ordersID), forUser("ledger"))
	if err != nil {
		t.Fatal(err)
	}
	claims := b.read(t, string(issued.Token.Reveal()), "ledger")
	got := []any{claims.Subject, claims.User, claims.Groups, claims.ClientID, claims.Act, claims.Scope}
	wanted := []any{
		"user:https://idp.test%7Cada", &token.User{Issuer: idp, Subject: "ada"}, []string{"staff"}, ordersID.String(),
		&token.Actor{Subject: ordersID.String()}, []string{"read", "write"},
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
	decision, outcome := b.entries(t, issued.Decision)
	if decision.Subject != ordersID.String() || decision.User != "user:https://idp.test|ada" || !slices.Equal(decision.Groups, []string{"staff"}) || outcome.Result != "ok" {
		t.Errorf("decision %+v, outcome %+v", decision.Event, outcome.Event)
	}
}

// TestOnBehalfOfAUserBothAreAsked: neither lends the other what it may, and a deny of either stops both.
func TestOnBehalfOfAUserBothAreAsked(t *testing.T) {
	b := newBroker(t)
	for name, c := range map[string]struct {
		audience string
		change   func(*exchange.Subject)
		ok       bool
	}{
		"both may":                            {"ledger", unchanged, true},
		"the user may by a group":             {"inventory", unchanged, true},
		"the user may, the workload may not":  {"hidden", unchanged, false},
		"the workload may, the user may not":  {"bare", unchanged, false},
		"neither may":                         {"two", unchanged, false},
		"a group of the user's is denied":     {"ledger", func(s *exchange.Subject) { s.User.Groups = []string{"staff", "banned"} }, false},
		"a user of that name, another issuer": {"ledger", func(s *exchange.Subject) { s.User.Issuer = "https://evil.test" }, false},
		"a user in no group":                  {"inventory", func(s *exchange.Subject) { s.User.Groups = nil }, false},
		"a user whose name is a workload's":   {"ledger", func(s *exchange.Subject) { s.User.Subject = ordersID.String() }, false},
	} {
		b.users(c.change)
		_, err := b.Exchange(as(t, ordersID), forUser(c.audience))
		if c.ok && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !c.ok {
			e := want(t, name, err, fault.InvalidTarget, "")
			if decision, _ := b.entries(t, e.Decision); decision.User == "" || decision.Allow {
				t.Errorf("%s: recorded as %+v", name, decision.Event)
			}
		}
	}
}

// TestAUserTravelsOn: a token of ours that names a user is good as a subject token of the next service, and
// what is known of the user is known there too.
func TestAUserTravelsOn(t *testing.T) {
	b := newBroker(t)
	b.users(unchanged)
	first, err := b.Exchange(as(t, ordersID), forUser("inventory"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Exchange(as(t, inventoryID), onBehalf(first.Token, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	claims := b.read(t, string(second.Token.Reveal()), "ledger")
	chain := &token.Actor{Subject: inventoryID.String(), Act: &token.Actor{Subject: ordersID.String()}}
	if diff := cmp.Diff(chain, claims.Act); diff != "" || claims.User == nil || claims.User.Subject != "ada" || !slices.Equal(claims.Groups, []string{"staff"}) {
		t.Errorf("%+v\n%s", claims, diff)
	}
	if decision, _ := b.entries(t, second.Decision); !slices.Equal(decision.Actors, []string{ordersID.String()}) {
		t.Errorf("actors %v", decision.Actors)
	}
	if _, err := b.Exchange(as(t, inventoryID), onBehalf(first.Token, "bare")); fault.From(err).Kind != fault.InvalidTarget {
		t.Errorf("what the workload may and the user may not: %v", err)
	}
	if _, err := b.Exchange(as(t, thiefID), onBehalf(first.Token, "ledger")); fault.From(err).Reason != "SUBJECT_TOKEN_NOT_MEANT" && fault.From(err).Kind != fault.InvalidRequest {
		t.Errorf("who merely got hold of it: %v", err)
	}
}

func TestMayAct(t *testing.T) {
	b := newBroker(t)
	for name, c := range map[string]struct {
		may exchange.MayAct
		ok  bool
	}{
		"the caller":                        {exchange.MayAct{Subject: ordersID.String()}, true},
		"the caller, by its trust domain":   {exchange.MayAct{Subject: ordersID.String(), Issuer: "spiffe://a.test"}, true},
		"the caller, by us":                 {exchange.MayAct{Subject: ordersID.String(), Issuer: issuer}, true},
		"another":                           {exchange.MayAct{Subject: inventoryID.String()}, false},
		"one of that name at another place": {exchange.MayAct{Subject: ordersID.String(), Issuer: "https://idp.test"}, false},
	} {
		b.users(func(s *exchange.Subject) { s.MayAct = &c.may })
		_, err := b.Exchange(as(t, ordersID), forUser("ledger"))
		if c.ok && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !c.ok {
			want(t, name, err, fault.InvalidRequest, "MAY_ACT")
		}
	}
}

// TestActorTokens: the actor is the caller, which may say so twice, and nobody else.
func TestActorTokens(t *testing.T) {
	b := newBroker(t)
	b.users(unchanged)
	actor := func(subject identity.Workload, user *identity.User) {
		b.Subjects["y"] = func(context.Context, string) (exchange.Subject, error) {
			return exchange.Subject{Workload: subject, User: user}, nil
		}
	}
	ask := func(req exchange.Request) (exchange.Issued, error) {
		req.ActorToken, req.ActorTokenType = secret.FromString("an actor's"), "y"
		return b.Exchange(as(t, ordersID), req)
	}
	actor(identity.Workload{ID: ordersID, NotAfter: time.Now().Add(time.Minute)}, nil)
	issued, err := ask(forUser("ledger"))
	if err != nil || time.Until(issued.Expiry) > time.Minute {
		t.Errorf("the caller's own: %v, ends in %v", err, time.Until(issued.Expiry))
	}
	_, err = ask(exchange.Request{Audience: []string{"ledger"}})
	want(t, "nobody to act for", err, fault.InvalidRequest, "")
	actor(identity.Workload{ID: inventoryID, NotAfter: time.Now().Add(time.Minute)}, nil)
	_, err = ask(forUser("ledger"))
	want(t, "another's", err, fault.InvalidRequest, "ACTOR_NOT_CALLER")
	actor(identity.Workload{ID: ordersID, NotAfter: time.Now().Add(time.Minute)}, &identity.User{Issuer: idp, Subject: "ada"})
	_, err = ask(forUser("ledger"))
	want(t, "a user's", err, fault.InvalidRequest, "ACTOR_NOT_CALLER")
	b.Subjects["y"] = func(context.Context, string) (exchange.Subject, error) {
		return exchange.Subject{}, fault.New(fault.Unauthenticated, "", "expired")
	}
	_, err = ask(forUser("ledger"))
	want(t, "a bad one", err, fault.InvalidRequest, "ACTOR_TOKEN_INVALID")
}

// TestClaimsStayBehind: a rule that denies whoever has a claim is asked at the first exchange, and at the
// second, where nobody knows, it denies.
func TestClaimsStayBehind(t *testing.T) {
	b := newBrokerWith(t, "p, user:https://idp.test|ada, exchange, audience/ledger, deny, \"has(r.claims, 'contractor')\"\n")
	for name, c := range map[string]struct {
		claims map[string]any
		ok     bool
	}{"without the claim": {map[string]any{}, true}, "with it": {map[string]any{"contractor": true}, false}} {
		b.users(func(s *exchange.Subject) { s.User.Claims = c.claims })
		_, err := b.Exchange(as(t, ordersID), forUser("ledger"))
		if c.ok && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !c.ok {
			want(t, name, err, fault.InvalidTarget, "")
		}
		first, err := b.Exchange(as(t, ordersID), forUser("inventory"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Exchange(as(t, inventoryID), onBehalf(first.Token, "ledger"))
		want(t, name+", at the second exchange", err, fault.InvalidTarget, "")
	}
}

// TestGroupsTravelWholeOrNotAtAll: a list that was cut could leave out one that is denied.
func TestGroupsTravelWholeOrNotAtAll(t *testing.T) {
	b := newBroker(t)
	groups := []string{"staff"}
	for range 400 {
		groups = append(groups, "a group with a name of forty characters ")
	}
	b.users(func(s *exchange.Subject) { s.User.Groups = groups })
	_, err := b.Exchange(as(t, ordersID), forUser("ledger"))
	e := want(t, "too many", err, fault.TooLarge, "TOKEN_TOO_LARGE")
	if _, outcome := b.entries(t, e.Decision); outcome.Result == "ok" {
		t.Errorf("%+v", outcome.Event)
	}
}
