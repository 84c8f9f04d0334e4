package exchange_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

func TestTheCallerItselfIsTheSubject(t *testing.T) {
	b := newBroker(t)
	reply, err := b.dial(t, as(t, ordersID)).Exchange(t.Context(), &intercomv1.ExchangeRequest{Audience: []string{"ledger"}, Scope: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	claims := b.read(t, reply.GetAccessToken(), "ledger")
	wanted := token.Claims{
		Issuer: issuer, Subject: ordersID.String(), ClientID: ordersID.String(), Audience: []string{"ledger"}, Scope: []string{"read"}, Confirmation: thumb(ordersID),
	}
	if diff := cmp.Diff(wanted, claims, cmpopts.IgnoreFields(token.Claims{}, "IssuedAt", "Expiry", "NotBefore", "ID")); diff != "" {
		t.Error(diff)
	}
	if life := claims.Expiry.Sub(claims.IssuedAt); life > 5*time.Minute || life < 4*time.Minute {
		t.Errorf("lives for %s", life)
	}
	prov := reply.GetProvenance()
	if !reply.GetExpiresAt().AsTime().Equal(claims.Expiry) || !prov.GetHardDeadline().AsTime().Equal(claims.Expiry) ||
		prov.GetServedFrom() != intercomv1.ServedFrom_SERVED_FROM_LIVE || prov.GetAge().AsDuration() != 0 ||
		reply.GetTokenType() != "Bearer" || reply.GetIssuedTokenType() != exchange.TypeAccessToken || reply.GetBind() != intercomv1.Bind_BIND_X5T_S256 ||
		!cmp.Equal(reply.GetScope(), []string{"read"}) {
		t.Errorf("reply %v", reply)
	}
	decision, outcome := b.entries(t, prov.GetDecisionId())
	got := []string{decision.Subject, decision.Action, decision.Resource, decision.Revision, outcome.Result}
	if diff := cmp.Diff([]string{ordersID.String(), "exchange", "audience/ledger", prov.GetPolicyRevision(), "ok"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnknownAndDeniedAreTheSame compares whole answers: one bit would tell which services there are.
func TestUnknownAndDeniedAreTheSame(t *testing.T) {
	b := newBroker(t)
	client := b.dial(t, as(t, ordersID))
	var first []any
	for _, req := range []*intercomv1.ExchangeRequest{
		{Audience: []string{"hidden"}},                                                            // denied
		{Audience: []string{"none"}},                                                              // there is none
		{Audience: []string{"ghost"}},                                                             // allowed, and there is none
		{Audience: []string{"crm"}},                                                               // no token service
		{Resource: []string{"https://hidden.internal"}},                                           // denied
		{Resource: []string{"https://none.internal"}},                                             // there is none
		{Resource: []string{"https://shared.internal"}},                                           // two of them
		{Resource: []string{"https://ledger.internal/path"}},                                      // not an origin
		{Audience: []string{"ledger"}, Resource: []string{"https://inventory.internal"}},          // allowed, but another's
		{Audience: []string{"two"}, Resource: []string{"https://shared.internal"}},                // denied
		{Resource: []string{"https://ledger.internal", "https://bare.internal"}},                  // two targets
		{Audience: []string{"hidden"}, Scope: []string{"wider"}, Bind: intercomv1.Bind_BIND_NONE}, // denied before anything else
	} {
		_, err := client.Exchange(t.Context(), req)
		e := want(t, req.String(), fault.FromStatus(err), fault.InvalidTarget, "")
		if decision, _ := b.entries(t, e.Decision); e.Decision == "" || decision.Decision != e.Decision {
			t.Errorf("%s: decision %q is not in the log", req, e.Decision)
		}
		if got := answer(t, err); first == nil {
			first = got
		} else if diff := cmp.Diff(first, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s:\n%s", req, diff)
		}
	}
}

// answer is all that a caller gets, without the decision id, which differs each time.
func answer(t *testing.T, err error) []any {
	t.Helper()
	st := status.Convert(err)
	parts := []any{st.Code(), st.Message()}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			delete(info.GetMetadata(), fault.MetaDecision)
		}
		parts = append(parts, d)
	}
	return parts
}

func TestResourceNamesTheService(t *testing.T) {
	b := newBroker(t)
	for _, r := range []exchange.Request{
		{Resource: []string{"https://ledger.internal"}},
		{Resource: []string{"HTTPS://Ledger.internal:443/"}},
		{Resource: []string{"https://ledger.internal"}, Audience: []string{"ledger"}},
		{Audience: []string{"ledger"}},
	} {
		issued, err := b.Exchange(as(t, ordersID), r)
		if err != nil || issued.Audience != "ledger" {
			t.Errorf("%v: audience %q, %v", r, issued.Audience, err)
		}
	}
	issued, err := b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{"one"}, Resource: []string{"https://shared.internal"}})
	if err != nil || issued.Audience != "one" {
		t.Errorf("an audience beside a shared origin: %q, %v", issued.Audience, err)
	}
}

func TestRefusedRequests(t *testing.T) {
	b := newBroker(t)
	raw := secret.FromString("x.y.z")
	for name, tc := range map[string]struct {
		req    exchange.Request
		kind   fault.Kind
		reason string
	}{
		"nothing":                     {exchange.Request{}, fault.InvalidRequest, ""},
		"an empty audience":           {exchange.Request{Audience: []string{""}}, fault.InvalidRequest, ""},
		"two audiences":               {exchange.Request{Audience: []string{"ledger", "bare"}}, fault.InvalidRequest, ""},
		"a resource with fragment":    {exchange.Request{Resource: []string{"https://ledger.internal#x"}}, fault.InvalidRequest, ""},
		"a relative resource":         {exchange.Request{Resource: []string{"ledger"}}, fault.InvalidRequest, ""},
		"a token without type":        {exchange.Request{Audience: []string{"ledger"}, SubjectToken: raw}, fault.InvalidRequest, ""},
		"a type without token":        {exchange.Request{Audience: []string{"ledger"}, SubjectTokenType: exchange.TypeJWT}, fault.InvalidRequest, ""},
		"an actor type without token": {exchange.Request{Audience: []string{"ledger"}, ActorTokenType: exchange.TypeJWT}, fault.InvalidRequest, ""},
		"an actor token for nobody":   {exchange.Request{Audience: []string{"ledger"}, ActorToken: raw, ActorTokenType: exchange.TypeJWT}, fault.InvalidRequest, ""},
		"an ID token as subject":      {exchange.Request{Audience: []string{"ledger"}, SubjectToken: raw, SubjectTokenType: "urn:ietf:params:oauth:token-type:id_token"}, fault.Unsupported, "TOKEN_TYPE_UNSUPPORTED"},
		"a refresh token wanted":      {exchange.Request{Audience: []string{"ledger"}, RequestedTokenType: "urn:ietf:params:oauth:token-type:refresh_token"}, fault.Unsupported, "TOKEN_TYPE_UNSUPPORTED"},
		"no token of ours":            {exchange.Request{Audience: []string{"ledger"}, SubjectToken: raw, SubjectTokenType: exchange.TypeAccessToken}, fault.InvalidRequest, "SUBJECT_TOKEN_INVALID"},
		"a long token":                {exchange.Request{Audience: []string{"ledger"}, SubjectToken: secret.New(make([]byte, 17<<10)), SubjectTokenType: exchange.TypeAccessToken}, fault.TooLarge, ""},
		"a long audience":             {exchange.Request{Audience: []string{strings.Repeat("a", 3000)}}, fault.TooLarge, ""},
		"many resources":              {exchange.Request{Resource: make([]string, 33)}, fault.TooLarge, ""},
		"an unknown binding":          {exchange.Request{Audience: []string{"ledger"}, Bind: 9}, fault.InvalidRequest, ""},
		"a wider scope":               {exchange.Request{Audience: []string{"ledger"}, Scope: []string{"read", "root"}}, fault.InvalidScope, ""},
		"a scope where there is none": {exchange.Request{Audience: []string{"bare"}, Scope: []string{"read"}}, fault.InvalidScope, ""},
		"a bearer where bound is due": {exchange.Request{Audience: []string{"ledger"}, Bind: exchange.BindNone}, fault.InvalidRequest, ""},
	} {
		_, err := b.Exchange(as(t, ordersID), tc.req)
		want(t, name, err, tc.kind, tc.reason)
	}
	_, err := b.Exchange(t.Context(), exchange.Request{Audience: []string{"ledger"}})
	want(t, "nobody", err, fault.Unauthenticated, "")
}

func TestWhatIsRefusedAfterTheDecisionIsAnOutcome(t *testing.T) {
	b := newBroker(t)
	_, err := b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{"ledger"}, Scope: []string{"root"}})
	e := want(t, "a wider scope", err, fault.InvalidScope, "")
	if decision, outcome := b.entries(t, e.Decision); !decision.Allow || outcome.Result != "invalid_scope" {
		t.Errorf("decision %+v, outcome %+v", decision.Event, outcome.Event)
	}
}

func TestScopeAndBindDefaults(t *testing.T) {
	b := newBroker(t)
	for name, tc := range map[string]struct {
		req   exchange.Request
		scope []string
		cnf   string
	}{
		"all that the service takes": {exchange.Request{Audience: []string{"ledger"}}, []string{"read", "write", "admin"}, thumb(ordersID)},
		"asked twice":                {exchange.Request{Audience: []string{"ledger"}, Scope: []string{"write", "read", "write"}}, []string{"write", "read"}, thumb(ordersID)},
		"a service without scope":    {exchange.Request{Audience: []string{"bare"}}, nil, ""},
		"a bearer service":           {exchange.Request{Audience: []string{"inventory"}}, []string{"read", "write"}, ""},
		"bound although bearer does": {exchange.Request{Audience: []string{"inventory"}, Bind: exchange.BindX5T}, []string{"read", "write"}, thumb(ordersID)},
		"bearer said":                {exchange.Request{Audience: []string{"inventory"}, Bind: exchange.BindNone}, []string{"read", "write"}, ""},
	} {
		issued, err := b.Exchange(as(t, ordersID), tc.req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		claims := b.read(t, string(issued.Token.Reveal()), issued.Audience)
		if diff := cmp.Diff([]any{tc.scope, tc.scope, tc.cnf}, []any{claims.Scope, issued.Scope, claims.Confirmation}, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestATokenEndsWithTheProof(t *testing.T) {
	b := newBroker(t)
	issued, err := b.Exchange(asFor(t, ordersID, 20*time.Second), exchange.Request{Audience: []string{"ledger"}})
	if left := time.Until(issued.Expiry); err != nil || left > 20*time.Second || left < 17*time.Second {
		t.Errorf("ends in %s, %v", left, err)
	}
	if claims := b.read(t, string(issued.Token.Reveal()), "ledger"); !claims.Expiry.Equal(issued.Expiry) {
		t.Errorf("says %s and means %s", issued.Expiry, claims.Expiry)
	}
	_, err = b.Exchange(asFor(t, ordersID, time.Millisecond), exchange.Request{Audience: []string{"ledger"}})
	want(t, "a proof at its end", err, fault.InvalidRequest, "")
	b.MaxLife = time.Minute
	if issued, err = b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{"ledger"}}); err != nil || time.Until(issued.Expiry) > time.Minute {
		t.Errorf("with a shorter life: %s, %v", time.Until(issued.Expiry), err)
	}
	b.MaxLife = time.Hour
	if issued, err = b.Exchange(as(t, ordersID), exchange.Request{Audience: []string{"ledger"}}); err != nil || time.Until(issued.Expiry) > 5*time.Minute {
		t.Errorf("with a longer life: %s, %v", time.Until(issued.Expiry), err)
	}
}
