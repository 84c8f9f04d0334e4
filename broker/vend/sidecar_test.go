package vend_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/identity/identitytest"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/vend"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const (
	services = `version: 1
owner: t
services:
  ledger: { upstream: { url: "https://ledger.internal:8443/base", dial: [127.0.0.0/8] }, token: { audience: books, scope: [read, write], stale: 1m } }
  inventory: http://inventory.internal
  crm: { upstream: "https://crm.internal", inject: { basic: { credential: crm/login } } }
  reports: { vend: { credential: reports/db, ttl: 5m, stale: 2m } }
`
	rules = `p, spiffe://a.test/orders, exchange, audience/books, allow,
p, spiffe://a.test/orders, vend, credential/reports/db, allow,
p, spiffe://a.test/orders, call, service/crm/**, allow,
`
)

var orders = spiffeid.RequireFromString("spiffe://a.test/orders")

// caller is who the test's connection belongs to.
func caller(id spiffeid.ID, life time.Duration) identity.Principal {
	return identity.Principal{Workload: identity.Workload{ID: id, Proof: identity.ByX509SVID, Thumbprint: "x5t", NotAfter: time.Now().Add(life)}}
}

// live is a directory of service files and one of rules, both watched.
type live struct {
	servicesFile, rulesFile string
	services                *service.Watcher
	policy                  *policy.Engine
}

func watched(t *testing.T) *live {
	t.Helper()
	l := &live{servicesFile: filepath.Join(t.TempDir(), "s.yaml"), rulesFile: filepath.Join(t.TempDir(), "policy.csv")}
	put(t, l.servicesFile, services)
	put(t, l.rulesFile, rules)
	var err error
	if l.services, err = service.Open(t.Context(), service.Config{Dir: filepath.Dir(l.servicesFile)}); err != nil {
		t.Fatal(err)
	}
	if l.policy, err = policy.Open(t.Context(), policy.Config{Dir: filepath.Dir(l.rulesFile), Poll: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- l.services.Run(ctx) }()
	go func() { done <- l.policy.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range cap(done) {
			if err := <-done; err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	return l
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

func open(t *testing.T, l *live, p identity.Principal) grpc.ServerStreamingClient[intercomv1.WatchServicesResponse] {
	t.Helper()
	conn := identitytest.Dial(t, p, (&vend.Sidecars{Services: l.services, Policy: l.policy}).Register)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	s, err := intercomv1.NewSidecarClient(conn).WatchServices(ctx, &intercomv1.WatchServicesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func receive(t *testing.T, s grpc.ServerStreamingClient[intercomv1.WatchServicesResponse]) *intercomv1.WatchServicesResponse {
	t.Helper()
	r, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func parseService(t *testing.T, text string) *intercomv1.Service {
	t.Helper()
	var s intercomv1.Service
	if err := prototext.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestASidecarLearnsWhatItMayReach(t *testing.T) {
	l := watched(t)
	r := receive(t, open(t, l, caller(orders, time.Hour)))
	want := []*intercomv1.Service{
		parseService(t, `name: "crm" mode: MODE_INJECT stale { seconds: 600 }`),
		// Denied: known, so that the broker can be asked and can say no, and that is all.
		parseService(t, `name: "inventory" mode: MODE_TOKEN audience: "inventory" stale { seconds: 600 }`),
		parseService(t, `name: "ledger" mode: MODE_TOKEN url: "https://ledger.internal:8443/base" audience: "books" bind: BIND_X5T_S256
			scope: "read" scope: "write" dial: "127.0.0.0/8" stale { seconds: 60 }`),
		parseService(t, `name: "reports" mode: MODE_VEND credential: "reports/db" ttl { seconds: 300 } stale { seconds: 120 }`),
	}
	if diff := cmp.Diff(want, r.GetServices(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if r.GetRevision() != l.services.Current().Revision() || r.GetProvenance().GetPolicyRevision() != l.policy.Current().Revision() {
		t.Errorf("revisions %s, %s", r.GetRevision(), r.GetProvenance().GetPolicyRevision())
	}
}

func TestAStrangerLearnsNamesOnly(t *testing.T) {
	r := receive(t, open(t, watched(t), caller(spiffeid.RequireFromString("spiffe://b.test/orders"), time.Hour)))
	for _, s := range r.GetServices() {
		bare := &intercomv1.Service{Name: s.GetName(), Mode: s.GetMode(), Stale: s.GetStale(), Audience: s.GetAudience(), Credential: s.GetCredential()}
		if !proto.Equal(s, bare) {
			t.Errorf("a stranger is told of %v", s)
		}
	}
}

func TestEveryChangeBringsTheWholeState(t *testing.T) {
	l := watched(t)
	s := open(t, l, caller(orders, time.Hour))
	first := receive(t, s)

	put(t, l.rulesFile, rules+"p, spiffe://a.test/orders, exchange, audience/inventory, allow,\n")
	second := receive(t, s)
	if got := second.GetServices()[1]; got.GetUrl() != "http://inventory.internal" || got.GetBind() != intercomv1.Bind_BIND_NONE {
		t.Errorf("after the rule: %v", got)
	}
	if second.GetRevision() != first.GetRevision() || second.GetProvenance().GetPolicyRevision() == first.GetProvenance().GetPolicyRevision() {
		t.Error("the revisions do not say what changed")
	}

	put(t, l.servicesFile, "version: 1\nowner: t\nservices: { inventory: https://elsewhere }\n")
	third := receive(t, s)
	if len(third.GetServices()) != 1 || third.GetServices()[0].GetUrl() != "https://elsewhere" || third.GetRevision() == first.GetRevision() {
		t.Errorf("after the file: %v", third)
	}
}

func TestAStreamEndsWithTheSVID(t *testing.T) {
	s := open(t, watched(t), caller(orders, 300*time.Millisecond))
	receive(t, s)
	begun := time.Now()
	_, err := s.Recv()
	if e := fault.FromStatus(err); e.Kind != fault.Unauthenticated || e.Reason != "SVID_ENDED" || time.Since(begun) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
}

func TestNobodyLearnsNothing(t *testing.T) {
	_, err := open(t, watched(t), identity.Principal{}).Recv()
	if e := fault.FromStatus(err); e.Kind != fault.Unauthenticated {
		t.Errorf("got %v", err)
	}
}
