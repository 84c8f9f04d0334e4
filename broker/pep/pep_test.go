package pep_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/policies"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.opentelemetry.io/otel/trace"
)

const (
	orders = "spiffe://a.test/orders"
	user   = "user:https://idp.test|me"
	rules  = `p, spiffe://a.test/orders, vend, credential/crm/login, allow
p, spiffe://a.test/orders, vend, credential/crm/root, allow
p, spiffe://a.test/*, vend, credential/*/root, deny
p, group:staff, vend, credential/crm/login, allow
`
)

var login = policy.Entity{Type: "credential", ID: "crm/login"}

// decide and record are functions where a Point wants interfaces.
type (
	decide func(context.Context, policy.Request) (policy.Decision, error)
	record func(context.Context, audit.Event) error
)

func (f decide) Decide(ctx context.Context, r policy.Request) (policy.Decision, error) {
	return f(ctx, r)
}
func (f record) Record(ctx context.Context, e audit.Event) error { return f(ctx, e) }

func snapshot(t testing.TB, csv string) *policy.Snapshot {
	t.Helper()
	s, err := policy.LoadFS(fstest.MapFS{"model.conf": {Data: []byte(policies.Model())}, "p.csv": {Data: []byte(csv)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openLog(t testing.TB) (*audit.Log, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	l, err := audit.Open(audit.Config{Dir: dir, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, dir
}

func workload() identity.Principal {
	return identity.Principal{Workload: identity.Workload{
		ID: spiffeid.RequireFromString(orders), Proof: identity.ByX509SVID, NotAfter: time.Now().Add(time.Hour),
	}}
}

func as(ctx context.Context, p identity.Principal) context.Context {
	return identity.NewContext(ctx, p)
}

// point is a Point on a real policy and a real log.
func point(t testing.TB) (p *pep.Point, dir string) {
	t.Helper()
	l, dir := openLog(t)
	return &pep.Point{Decider: snapshot(t, rules), Recorder: l}, dir
}

func find(t testing.TB, dir, id string) []audit.Event {
	t.Helper()
	entries, err := audit.Find(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	var events []audit.Event
	for _, e := range entries {
		events = append(events, e.Event)
	}
	return events
}

func TestAGrantAndItsOutcomeShareAnID(t *testing.T) {
	p, dir := point(t)
	now := time.Now()
	p.Now = func() time.Time { return now }
	ctx := as(t.Context(), workload())
	id, _ := trace.TraceIDFromHex("4bf92f3577b34da6a3ce929d0e0e4736")
	span, _ := trace.SpanIDFromHex("00f067aa0ba902b7")
	ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span}))

	g, err := p.Check(ctx, policy.ActionVend, login)
	if err != nil {
		t.Fatal(err)
	}
	if !g.Decision.Allow || g.Decision.Revision == "" || g.Principal.Subject() != orders || g.Resource.String() != "credential/crm/login" {
		t.Errorf("the grant is %+v", g)
	}
	began := now
	now = now.Add(5 * time.Millisecond)
	g.Done(pep.Outcome{Credential: "crm/login", Version: 7, Bytes: 9, Why: "nightly report"})
	g.Done(pep.Outcome{Err: errors.New("a second time")})

	began, ended := began.UTC().Truncate(time.Microsecond), now.UTC().Truncate(time.Microsecond)
	want := []audit.Event{
		{
			Decision: g.ID, Kind: audit.KindDecision, Time: began, Subject: orders, Proof: "x509-svid", Action: "vend",
			Resource: "credential/crm/login", Rule: "p.csv:1", Revision: g.Decision.Revision, Allow: true, Trace: id.String(),
		},
		{
			Decision: g.ID, Kind: audit.KindOutcome, Time: ended, Trace: id.String(), Credential: "crm/login", Version: 7,
			Result: "ok", Bytes: 9, Duration: 5 * time.Millisecond, Why: "nightly report",
		},
	}
	if diff := cmp.Diff(want, find(t, dir, g.ID)); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

func TestForAUserTheLogNamesBoth(t *testing.T) {
	p, dir := point(t)
	who := workload()
	who.User = &identity.User{Issuer: "https://idp.test", Subject: "me", Groups: []string{"staff", "all"}, Proof: identity.ByOIDC}
	who.Actors = []spiffeid.ID{spiffeid.RequireFromString("spiffe://a.test/gateway")}
	g, err := p.Check(as(t.Context(), who), policy.ActionVend, login)
	if err != nil {
		t.Fatal(err)
	}
	e := find(t, dir, g.ID)[0]
	if e.User != user || e.Proof != "x509-svid+oidc" || !slices.Equal(e.Groups, who.User.Groups) ||
		!slices.Equal(e.Actors, []string{"spiffe://a.test/gateway"}) || e.Rule != "p.csv:1" || e.Why != "the user by p.csv:4" {
		t.Errorf("the decision is recorded as %+v", e)
	}
}

func TestADenialIsRecordedWithItsRule(t *testing.T) {
	p, dir := point(t)
	g, err := p.Check(as(t.Context(), workload()), policy.ActionVend, policy.Entity{Type: "credential", ID: "crm/root"})
	f := fault.From(err)
	if g != nil || f.Kind != fault.Denied || f.Decision == "" {
		t.Fatalf("Check returned %+v, %v", g, err)
	}
	events := find(t, dir, f.Decision)
	if len(events) != 1 || events[0].Allow || events[0].Rule != "p.csv:3" || events[0].Why != policy.ReasonDenied || events[0].Subject != orders {
		t.Errorf("the log says %+v", events)
	}
}

// An act that never ends well is unknown in the log, not forgotten.
func TestAGrantThatIsNeverDoneIsUnknown(t *testing.T) {
	p, dir := point(t)
	g, err := p.Check(as(t.Context(), workload()), policy.ActionVend, login)
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(dir, nil)
	if err != nil || r.UnknownCount != 1 || r.Unknown[0].Decision != g.ID {
		t.Errorf("unknown: %+v, %v", r.Unknown, err)
	}
}

func TestResultsAreKindsAndNotTexts(t *testing.T) {
	for want, err := range map[string]error{
		"ok": nil, "canceled": context.Canceled, "unavailable": fault.New(fault.Unavailable, "VAULT_SEALED", "pl4nted"),
		"internal": errors.New("pl4nted-s3cret"), "not_found": fault.NotFound,
	} {
		p, dir := point(t)
		g, denied := p.Check(as(t.Context(), workload()), policy.ActionVend, login)
		if denied != nil {
			t.Fatal(denied)
		}
		g.Done(pep.Outcome{Err: err})
		if got := find(t, dir, g.ID)[1]; got.Result != want || got.Why != "" {
			t.Errorf("%v is recorded as %+v, want %s", err, got, want)
		}
	}
}

// The caller may be gone when the act ends; its outcome is written all the same.
func TestTheOutcomeIsWrittenAfterTheCallerWent(t *testing.T) {
	p, dir := point(t)
	ctx, cancel := context.WithCancel(as(t.Context(), workload()))
	g, err := p.Check(ctx, policy.ActionVend, login)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	g.Done(pep.Outcome{Err: ctx.Err()})
	if events := find(t, dir, g.ID); len(events) != 2 || events[1].Result != "canceled" {
		t.Errorf("the log says %+v", events)
	}
	var none *pep.Grant
	none.Done(pep.Outcome{}) // a defer before the error was looked at
}
