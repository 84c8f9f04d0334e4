package vend_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/identity/identitytest"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/vend"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const (
	planted = "pl4nted-s3cret"

	vended = `version: 1
owner: t
services:
  reports: { vend: { credential: reports/db, ttl: 5m, stale: 2m } }
  reports-ro: { vend: { credential: reports/db, ttl: 10m, stale: 1m } }
  patient: { vend: { credential: patient, ttl: 1h, stale: 2m } }
  gone: { vend: { credential: gone } }
  crm: { upstream: "https://crm.internal", inject: { basic: { credential: crm/login } } }
`
	vendRules = `p, spiffe://a.test/orders, vend, credential/reports/db, allow
p, spiffe://a.test/orders, vend, credential/patient, allow
p, spiffe://a.test/orders, vend, credential/gone, allow
p, spiffe://a.test/orders, vend, credential/crm/**, allow
`
)

// store is a sealed file that can be made to be out.
type store struct {
	credential.Store
	out atomic.Bool
}

func (s *store) Read(ctx context.Context, name credential.Name) (credential.Credential, error) {
	if s.out.Load() {
		return credential.Credential{}, fault.New(fault.Unavailable, "STORE_OUT", "the store is out")
	}
	return s.Store.Read(ctx, name)
}

// bench is a Service on a real policy, log and store, with a clock that is moved by hand.
type bench struct {
	*vend.Service
	store *store
	clock atomic.Int64 // seconds since the start
	start time.Time
	log   string
}

func (b *bench) now() time.Time { return b.start.Add(time.Duration(b.clock.Load()) * time.Second) }

func newBench(t *testing.T) *bench {
	t.Helper()
	rules, err := policy.LoadFS(fstest.MapFS{"policy.csv": {Data: []byte(vendRules)}})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := service.Parse(map[string][]byte{"s.yaml": []byte(vended)})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{store: &store{}, start: time.Now(), log: t.TempDir()}
	file, err := sealed.Open(sealed.Config{Path: filepath.Join(t.TempDir(), "store"), Key: sealed.NewKey()})
	if err != nil {
		t.Fatal(err)
	}
	b.store.Store = file
	for _, name := range []credential.Name{"reports/db", "patient", "crm/login", "crm/other"} {
		if _, err := file.Write(t.Context(), name, credential.Fields{"username": secret.FromString("ada"), "password": secret.FromString(planted)}); err != nil {
			t.Fatal(err)
		}
	}
	log, err := audit.Open(audit.Config{Dir: b.log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	b.Service = &vend.Service{
		Point: &pep.Point{Decider: rules, Recorder: log}, Services: func() *service.Catalog { return catalog },
		Store: credential.NewCache(b.store, credential.CacheConfig{Now: b.now, Patience: time.Millisecond}), Now: b.now, Jitter: func() float64 { return 0 },
	}
	return b
}

func (b *bench) as(t *testing.T) context.Context {
	t.Helper()
	return identity.NewContext(t.Context(), caller(orders, time.Hour))
}

func want(t *testing.T, what string, err error, kind fault.Kind, reason string) *fault.Error {
	t.Helper()
	e := fault.From(err)
	if err == nil || e.Kind != kind || reason != "" && e.Reason != reason {
		t.Errorf("%s: got %v (%s, %q), want %s %q", what, err, e.Kind, e.Reason, kind, reason)
	}
	return e
}

func (b *bench) entries(t *testing.T, id string) (decision, outcome audit.Event) {
	t.Helper()
	found, err := audit.Find(b.log, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		if strings.Contains(string(e.Raw), planted) {
			t.Errorf("the log holds the secret: %s", e.Raw)
		}
		switch e.Kind {
		case audit.KindDecision:
			decision = e.Event
		case audit.KindOutcome:
			outcome = e.Event
		}
	}
	return decision, outcome
}

func TestLease(t *testing.T) {
	b := newBench(t)
	conn := identitytest.Dial(t, caller(orders, time.Hour), b.Register)
	reply, err := intercomv1.NewCredentialsClient(conn).Lease(t.Context(), &intercomv1.LeaseRequest{Credential: "reports/db", Purpose: "nightly report"})
	if err != nil {
		t.Fatal(err)
	}
	cred, prov := reply.GetCredential(), reply.GetProvenance()
	decision, outcome := b.entries(t, prov.GetDecisionId())
	got := []any{
		cred.GetName(), cred.GetVersion(), string(cred.GetFields()["username"]), string(cred.GetFields()["password"]), len(cred.GetFields()),
		prov.GetServedFrom(), prov.GetPolicyRevision(), decision.Subject, decision.Action, decision.Resource, decision.Revision,
		outcome.Credential, outcome.Version, outcome.Result,
	}
	wanted := []any{
		"reports/db", uint64(1), "ada", planted, 2,
		intercomv1.ServedFrom_SERVED_FROM_LIVE, decision.Revision, orders.String(), "vend", "credential/reports/db", prov.GetPolicyRevision(),
		"reports/db", uint64(1), "ok",
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
}

// TestALeaseEnds holds ends against the strictest terms: ttl 5m of reports, stale 1m of reports-ro.
func TestALeaseEnds(t *testing.T) {
	const fresh = 30 * time.Second
	b := newBench(t)
	for _, tc := range []struct {
		name, credential string
		jitter           float64
		life             time.Duration
	}{
		{"at the hard deadline", "reports/db", 0, fresh + time.Minute},
		{"at the hard deadline, too", "patient", 1, fresh + 2*time.Minute},
	} {
		b.Jitter = func() float64 { return tc.jitter }
		l, err := b.Lease(b.as(t), vend.Request{Credential: tc.credential})
		if err != nil {
			t.Fatal(err)
		}
		renew := time.Duration(float64(tc.life) * 2 / 3 * (1 - tc.jitter/10))
		if l.NotAfter.Sub(b.now()) != tc.life || l.RenewAfter.Sub(b.now()) != renew || l.HardDeadline.Before(l.NotAfter) {
			t.Errorf("%s: ends in %s, asks again in %s; want %s, %s", tc.name, l.NotAfter.Sub(b.now()), l.RenewAfter.Sub(b.now()), tc.life, renew)
		}
	}
	b.Services = func() *service.Catalog {
		c, err := service.Parse(map[string][]byte{"s": []byte("version: 1\nowner: t\nservices: { p: { vend: { credential: patient, ttl: 20s, stale: 1h } } }\n")})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	l, err := b.Lease(b.as(t), vend.Request{Credential: "patient"})
	if err != nil || l.NotAfter.Sub(b.now()) != 20*time.Second {
		t.Errorf("at the ttl: ends in %s, %v", l.NotAfter.Sub(b.now()), err)
	}
}

func TestAnOutageIsSurvivedWithinTheBudget(t *testing.T) {
	b := newBench(t)
	lease := func(name string) (vend.Lease, error) { return b.Lease(b.as(t), vend.Request{Credential: name}) }
	if _, err := lease("reports/db"); err != nil {
		t.Fatal(err)
	}
	b.store.out.Store(true)
	b.clock.Store(80) // fresh 30 s + stale 60 s, less 10 s
	l, err := lease("reports/db")
	if err != nil || l.From != credential.Stale || l.NotAfter.Sub(b.now()) != 10*time.Second {
		t.Errorf("in the outage: %v, ends in %s, %v", l.From, l.NotAfter.Sub(b.now()), err)
	}
	_, err = b.Lease(b.as(t), vend.Request{Credential: "reports/db", MinTTL: 11 * time.Second})
	want(t, "longer than the budget", err, fault.Unavailable, vend.ReasonTooShort)
	b.clock.Store(91)
	_, err = lease("reports/db")
	e := want(t, "past the budget", err, fault.Unavailable, "STORE_OUT")
	if _, outcome := b.entries(t, e.Decision); outcome.Result != "unavailable" {
		t.Errorf("outcome %+v", outcome)
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	for name, tc := range map[string]struct {
		req      vend.Request
		kind     fault.Kind
		reason   string
		recorded bool
	}{
		"denied":                 {vend.Request{Credential: "reports"}, fault.Denied, "", true},
		"there is none":          {vend.Request{Credential: "none"}, fault.Denied, "", true},
		"allowed, gone":          {vend.Request{Credential: "gone"}, fault.NotFound, credential.ReasonUnknown, true},
		"injected, not vended":   {vend.Request{Credential: "crm/login"}, fault.Denied, vend.ReasonNotVended, true},
		"in no file":             {vend.Request{Credential: "crm/other"}, fault.Denied, vend.ReasonNotVended, true},
		"longer than ttl":        {vend.Request{Credential: "reports/db", MinTTL: time.Hour}, fault.InvalidRequest, vend.ReasonTooShort, true},
		"a bad name":             {vend.Request{Credential: "../x"}, fault.InvalidRequest, "", false},
		"no name":                {vend.Request{}, fault.InvalidRequest, "", false},
		"a long purpose":         {vend.Request{Credential: "reports/db", Purpose: strings.Repeat("p", 257)}, fault.InvalidRequest, "", false},
		"a purpose with newline": {vend.Request{Credential: "reports/db", Purpose: "a\nb"}, fault.InvalidRequest, "", false},
		"a negative life":        {vend.Request{Credential: "reports/db", MinTTL: -1}, fault.InvalidRequest, "", false},
	} {
		l, err := b.Lease(b.as(t), tc.req)
		e := want(t, name, err, tc.kind, tc.reason)
		if (e.Decision != "") != tc.recorded || l.Fields != nil {
			t.Errorf("%s: decision %q, fields %v", name, e.Decision, l.Fields)
		}
	}
	_, err := b.Lease(t.Context(), vend.Request{Credential: "reports/db"})
	want(t, "nobody", err, fault.Unauthenticated, "")
	conn := identitytest.Dial(t, caller(orders, time.Hour), b.Register)
	_, err = intercomv1.NewCredentialsClient(conn).Lease(t.Context(), &intercomv1.LeaseRequest{Credential: "reports/db", MinTtl: &durationpb.Duration{Seconds: 1, Nanos: -1}})
	want(t, "no duration", fault.FromStatus(err), fault.InvalidRequest, "")
}
