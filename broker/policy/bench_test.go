package policy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// fleet is a policy of n rules with 16 pattern shapes, in which every subject has four roles.
type fleet struct {
	csv      string
	requests []policy.Request // one that is allowed for each service
}

func newFleet(n int) fleet {
	var b strings.Builder
	var f fleet
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	services := max(n/10, 1)
	for i := range services {
		sa := fmt.Sprintf("spiffe://bench.test/ns/team-%d/sa/app-%d", i%97, i)
		next := (i + 1) % services
		line("p, %s, call, service/s%d/GET/**, allow", sa, next)
		line("p, %s, call, service/s%d/POST/v1/orders, allow", sa, next)
		line("p, %s, call, service/s%d/*/internal/**, deny", sa, next)
		line("p, %s, exchange, audience/s%d, allow", sa, next)
		line("p, %s, vend, credential/s%d/login, allow", sa, i)
		line("p, %s, call, service/s%d/GET/v1/*/status, allow", sa, next)
		line("p, role:r%d, call, service/s%d/PUT/v1/*, allow", i%100, i)
		line("p, role:r%d, vend, credential/s%d/*, allow", i%100, i)
		line("p, spiffe://bench.test/ns/team-%d/sa/*, call, service/s%d/HEAD/**, allow", i%97, i)
		line("%s", sprinkle(i))
		for r := range 4 {
			line("g, %s, role:r%d", sa, (i+r*31)%100)
		}
		f.requests = append(f.requests, policy.Request{
			Principal: identity.Principal{Workload: identity.Workload{ID: spiffeid.RequireFromString(sa)}},
			Action:    policy.ActionCall,
			Resource:  policy.Entity{Type: "service", ID: fmt.Sprintf("s%d/GET/v1/customers/%d", next, i)},
		})
	}
	f.csv = b.String()
	return f
}

// sprinkle makes the rules with the rarer shapes.
func sprinkle(i int) string {
	subject := []string{"spiffe://bench.test/ns/*/sa/deployer", "spiffe://bench.test/ops/**", fmt.Sprintf("spiffe://bench.test/ns/team-%d/**", i)}[i%3]
	resource := []string{"service/s%d/*/v2/*/**", "service/s%d/GET/v2/*/*", "admin/*/s%d", "service/s%d/*", "service/s%d/*/*/*/trace",
		"credential/s%d/**", "admin/s%d/*/*/**"}[i%7]
	return fmt.Sprintf("p, %s, call, "+resource+", allow", subject, i)
}

// shuffle gives every benchmark the same requests in the same order.
func (f fleet) shuffle() {
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(f.requests), func(i, j int) { f.requests[i], f.requests[j] = f.requests[j], f.requests[i] })
}

func (f fleet) load(b *testing.B, files fstest.MapFS) *policy.Snapshot {
	b.Helper()
	files["policy.csv"] = &fstest.MapFile{Data: []byte(f.csv)}
	s, err := policy.LoadFS(files)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkDecide compares the index with Casbin and with one look into a map. Casbin's time grows with
// the rules: give -benchtime 1x with the larger ones.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		f := newFleet(n)
		f.shuffle()
		b.Run(fmt.Sprintf("intercom/rules=%d", n), func(b *testing.B) { decideAll(b, f, f.load(b, fstest.MapFS{})) })
		b.Run(fmt.Sprintf("casbin/rules=%d", n), func(b *testing.B) {
			decideAll(b, f, f.load(b, fstest.MapFS{"model.conf": {Data: []byte(plainModel(b))}}))
		})
		b.Run(fmt.Sprintf("map/rules=%d", n), func(b *testing.B) { lookAll(b, f, n) })
	}
}

func decideAll(b *testing.B, f fleet, s *policy.Snapshot) {
	fixed := f.requests[len(f.requests)/2]
	run := func(name string, want bool, at func(int) *policy.Request) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if d, err := s.Decide(b.Context(), *at(i)); err != nil || d.Allow != want {
					b.Fatal(d, err)
				}
			}
		})
	}
	run("allow", true, func(int) *policy.Request { return &fixed })
	refused := fixed
	refused.Resource.ID = strings.Replace(fixed.Resource.ID, "GET", "DELETE", 1)
	run("deny", false, func(int) *policy.Request { return &refused })
	run("shuffled", true, func(i int) *policy.Request { return &f.requests[i%len(f.requests)] })
}

type mapKey struct{ subject, action, resource string }

func lookAll(b *testing.B, f fleet, n int) {
	m := map[mapKey]bool{}
	keys := make([]mapKey, 0, n)
	for i := 0; len(m) < n; i++ {
		r := f.requests[i%len(f.requests)]
		k := mapKey{r.Principal.Subject(), r.Action, fmt.Sprintf("%s/%d", r.Resource, i/len(f.requests))}
		m[k] = true
		keys = append(keys, k)
	}
	rand.New(rand.NewPCG(3, 4)).Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	run := func(name string, want bool, at func(int) mapKey) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if m[at(i)] != want {
					b.Fatal("wrong answer")
				}
			}
		})
	}
	refused := keys[0]
	refused.action = policy.ActionVend
	run("allow", true, func(int) mapKey { return keys[0] })
	run("deny", false, func(int) mapKey { return refused })
	run("shuffled", true, func(i int) mapKey { return keys[i%n] })
}
