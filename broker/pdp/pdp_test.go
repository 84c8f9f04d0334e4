package pdp_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/identity/identitytest"
	"github.com/intercom-broker/intercom/broker/pdp"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const rules = `p, spiffe://a.test/operator, evaluate, pdp, allow
p, spiffe://a.test/operator, explain, pdp, allow
p, spiffe://a.test/auditor, explain, pdp, allow
p, spiffe://a.test/orders, vend, credential/crm/login, allow
`

// bench is a Service on a real policy directory and log.
type bench struct {
	*pdp.Service
	file   string
	log    *audit.Log
	logDir string
	engine *policy.Engine
	// other is where the acts of others are decided.
	other *pep.Point
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{file: filepath.Join(t.TempDir(), "policy.csv"), logDir: t.TempDir()}
	put(t, b.file, rules)
	var err error
	if b.engine, err = policy.Open(t.Context(), policy.Config{Dir: filepath.Dir(b.file), Keep: 2, Poll: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if b.log, err = audit.Open(audit.Config{Dir: b.logDir}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.engine.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; _ = b.log.Close() })
	b.other = &pep.Point{Decider: b.engine, Recorder: b.log}
	b.Service = &pdp.Service{Point: b.other, Policy: b.engine, Find: func(_ context.Context, id string) ([]audit.Entry, error) { return audit.Find(b.logDir, id) }}
	return b
}

// put replaces a file at once, as whoever maintains such files should.
func put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func as(ctx context.Context, name string) context.Context {
	return identity.NewContext(ctx, identity.Principal{Workload: identity.Workload{
		ID: spiffeid.RequireFromString("spiffe://a.test/" + name), Proof: identity.ByX509SVID, NotAfter: time.Now().Add(time.Hour),
	}})
}

func (b *bench) client(t *testing.T, name string) intercomv1.DecisionsClient {
	t.Helper()
	p, _ := identity.FromContext(as(t.Context(), name))
	return intercomv1.NewDecisionsClient(identitytest.Dial(t, p, b.Register))
}

// change puts rules in force.
func (b *bench) change(t *testing.T, text string) {
	t.Helper()
	changed := b.engine.Changed()
	put(t, b.file, text)
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Fatal("the policy did not change")
	}
}

func ask(subject, action, kind, id string) *intercomv1.EvaluateRequest {
	return &intercomv1.EvaluateRequest{
		Subject: &intercomv1.Entity{Type: "spiffe", Id: subject}, Action: &intercomv1.Action{Name: action}, Resource: &intercomv1.Entity{Type: kind, Id: id},
	}
}

func (b *bench) recorded(t *testing.T, id string) (decision, outcome audit.Event) {
	t.Helper()
	found, err := audit.Find(b.logDir, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		if e.Kind == audit.KindDecision {
			decision = e.Event
		} else {
			outcome = e.Event
		}
	}
	return decision, outcome
}

func TestEvaluate(t *testing.T) {
	b := newBench(t)
	client := b.client(t, "operator")
	for id, allow := range map[string]bool{"crm/login": true, "crm/other": false} {
		r, err := client.Evaluate(t.Context(), ask("spiffe://a.test/orders", "vend", "credential", id))
		if err != nil || r.GetDecision() != allow {
			t.Fatalf("%s: %v, %v", id, r, err)
		}
		decision, outcome := b.recorded(t, r.GetProvenance().GetDecisionId())
		got := []string{decision.Subject, decision.Action, decision.Resource, decision.Revision, outcome.Result}
		if diff := cmp.Diff([]string{"spiffe://a.test/operator", "evaluate", "pdp", r.GetProvenance().GetPolicyRevision(), "ok"}, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAskingIsAnAct(t *testing.T) {
	b := newBench(t)
	q := ask("spiffe://a.test/orders", "vend", "credential", "crm/login")
	for who, errs := range map[string][2]fault.Kind{
		"orders": {fault.Denied, fault.Denied}, "auditor": {fault.Denied, fault.Internal}, "operator": {fault.Internal, fault.Internal},
	} {
		client := b.client(t, who)
		_, err := client.Evaluate(t.Context(), q)
		_, err2 := client.Explain(t.Context(), &intercomv1.ExplainRequest{About: &intercomv1.ExplainRequest_Question{Question: q}})
		_, err3 := client.Explain(t.Context(), &intercomv1.ExplainRequest{About: &intercomv1.ExplainRequest_DecisionId{DecisionId: "d-none"}})
		for i, err := range []error{err, err2} {
			e := fault.FromStatus(err)
			if denied := errs[i] == fault.Denied; (err != nil) != denied || denied && (e.Kind != fault.Denied || e.Decision == "") {
				t.Errorf("%s, question %d: %v", who, i, err)
			}
		}
		// Whether there is such a decision is for those only who may ask.
		wanted := fault.NotFound
		if errs[1] == fault.Denied {
			wanted = fault.Denied
		}
		if e := fault.FromStatus(err3); e.Kind != wanted || e.Decision == "" {
			t.Errorf("%s: an unknown decision: %v", who, err3)
		}
	}
}

func TestExplainAQuestion(t *testing.T) {
	client := newBench(t).client(t, "operator")
	explain := func(id string) *intercomv1.ExplainResponse {
		t.Helper()
		r, err := client.Explain(t.Context(), &intercomv1.ExplainRequest{About: &intercomv1.ExplainRequest_Question{
			Question: ask("spiffe://a.test/orders", "vend", "credential", id),
		}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := explain("crm/login"); !r.GetDecision() || r.GetRule().GetLine() != 4 || !strings.HasSuffix(r.GetRule().GetFile(), "policy.csv") || r.GetReason() == "" {
		t.Errorf("allowed: %v", r)
	}
	r := explain("crm/other")
	if r.GetDecision() || r.GetRule() != nil || !strings.Contains(r.GetSmallestGrant(), "credential/crm/other") {
		t.Errorf("denied: %v", r)
	}
	if near := r.GetNearMisses(); len(near) != 1 || near[0].GetDiffers() != "resource" || near[0].GetRule().GetLine() != 4 {
		t.Errorf("near misses: %v", near)
	}
}

func TestExplainADecisionUnderThePolicyOfThen(t *testing.T) {
	b := newBench(t)
	client := b.client(t, "operator")
	_, err := b.other.Check(as(t.Context(), "orders"), policy.ActionVend, policy.Entity{Type: "credential", ID: "crm/other"})
	id := fault.From(err).Decision
	explain := func() *intercomv1.ExplainResponse {
		t.Helper()
		r, err := client.Explain(t.Context(), &intercomv1.ExplainRequest{About: &intercomv1.ExplainRequest_DecisionId{DecisionId: id}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	b.change(t, rules+"p, spiffe://a.test/orders, vend, credential/crm/other, allow\n")
	if r := explain(); r.GetDecision() || len(r.GetNearMisses()) == 0 {
		t.Errorf("under the policy of then: %v", r)
	}
	b.change(t, rules+"# second\np, spiffe://a.test/x, vend, credential/a, allow\n")
	b.change(t, rules+"# third\np, spiffe://a.test/x, vend, credential/b, allow\n")
	if r := explain(); r.GetDecision() || !strings.Contains(r.GetReason(), "no longer kept") || len(r.GetNearMisses()) != 0 {
		t.Errorf("when the policy of then is gone: %v", r)
	}
}

func TestExplainNamesTheRuleThatWasRecorded(t *testing.T) {
	b := newBench(t)
	g, err := b.other.Check(as(t.Context(), "orders"), policy.ActionVend, policy.Entity{Type: "credential", ID: "crm/login"})
	if err != nil {
		t.Fatal(err)
	}
	g.Done(pep.Outcome{})
	for _, n := range []string{"a", "b", "c"} {
		b.change(t, rules+"p, spiffe://a.test/x, vend, credential/"+n+", allow\n")
	}
	e, _, err := b.ExplainDecision(as(t.Context(), "auditor"), g.ID)
	if err != nil || !e.Allow || e.Rule == nil || e.Rule.Line != 4 || !strings.HasSuffix(e.Rule.File, "policy.csv") || !strings.Contains(e.Why, "recorded as allowed") {
		t.Errorf("%+v, %v", e, err)
	}
	b.Find = nil
	if _, _, err := b.ExplainDecision(as(t.Context(), "auditor"), g.ID); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("without a log: %v", err)
	}
}

func TestAWithdrawnGrantIsExplainedByItsLastDecision(t *testing.T) {
	b := newBench(t)
	ctx := as(t.Context(), "orders")
	g, err := b.other.Check(ctx, policy.ActionVend, policy.Entity{Type: "credential", ID: "crm/login"})
	if err != nil {
		t.Fatal(err)
	}
	b.change(t, rules+"p, spiffe://a.test/orders, vend, credential/crm/**, deny\n")
	if err := b.other.Still(ctx, g); fault.KindOf(err) != fault.Denied {
		t.Fatalf("still: %v", err)
	}
	if e, _, err := b.ExplainDecision(as(t.Context(), "auditor"), g.ID); err != nil || e.Allow || e.Rule == nil || e.Rule.Effect != "deny" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestAConditionThatReadWhatIsNotRecordedIsSaid(t *testing.T) {
	b := newBench(t)
	b.change(t, rules+`p, spiffe://a.test/orders, vend, credential/x, allow, r.properties.open == 'yes'`+"\n")
	open := policy.Entity{Type: "credential", ID: "x", Properties: map[string]any{"open": "yes"}}
	g, err := b.other.Check(as(t.Context(), "orders"), policy.ActionVend, open)
	if err != nil {
		t.Fatal(err)
	}
	if e, _, err := b.ExplainDecision(as(t.Context(), "auditor"), g.ID); err != nil || !e.Allow || !strings.Contains(e.Why, "not recorded") {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestRefusedQuestions(t *testing.T) {
	client := newBench(t).client(t, "operator")
	good := func(change func(*intercomv1.EvaluateRequest)) *intercomv1.EvaluateRequest {
		q := ask("spiffe://a.test/orders", "vend", "credential", "crm/login")
		change(q)
		return q
	}
	big, err := structpb.NewStruct(map[string]any{"x": strings.Repeat("x", 65<<10)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		q    *intercomv1.EvaluateRequest
		kind fault.Kind
	}{
		"nothing":         {nil, fault.InvalidRequest},
		"no action":       {good(func(q *intercomv1.EvaluateRequest) { q.Action = nil }), fault.InvalidRequest},
		"no resource":     {good(func(q *intercomv1.EvaluateRequest) { q.Resource = nil }), fault.InvalidRequest},
		"a user":          {good(func(q *intercomv1.EvaluateRequest) { q.Subject.Type = "user" }), fault.Unsupported},
		"no SPIFFE ID":    {good(func(q *intercomv1.EvaluateRequest) { q.Subject.Id = "orders" }), fault.InvalidRequest},
		"a long resource": {good(func(q *intercomv1.EvaluateRequest) { q.Resource.Id = strings.Repeat("x", 3000) }), fault.InvalidRequest},
		"a large context": {good(func(q *intercomv1.EvaluateRequest) { q.Context = big }), fault.TooLarge},
	} {
		_, err := client.Evaluate(t.Context(), tc.q)
		if e := fault.FromStatus(err); err == nil || e.Kind != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client.Explain(t.Context(), &intercomv1.ExplainRequest{}); fault.FromStatus(err).Kind != fault.InvalidRequest {
		t.Errorf("about nothing: %v", err)
	}
}
