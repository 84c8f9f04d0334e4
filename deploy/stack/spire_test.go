package stack_test

import (
	"context"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/intercom-broker/intercom/deploy/stack"
)

const (
	idA = "spiffe://a.test/web"
	idB = "spiffe://b.test/db"
)

func TestSPIRE(t *testing.T) {
	s := stack.SPIRE(t, "a.test", "b.test")
	a, b := s.Domain("a.test"), s.Domain("b.test")
	a.Entry(t, idA, stack.EntryOptions{TTL: time.Minute, FederatesWith: []string{"b.test"}, DNS: []string{"web.test"}})
	b.Entry(t, idB, stack.EntryOptions{})
	t.Run("an X.509-SVID and both bundles", func(t *testing.T) { checkX509(t, a) })
	t.Run("without federation no foreign bundle", func(t *testing.T) { checkNoForeignBundle(t, b) })
	t.Run("a JWT-SVID", func(t *testing.T) { checkJWT(t, a) })
	if s.Domain("c.test") != nil {
		t.Error("a domain that was not asked for")
	}
}

func source(t *testing.T, d *stack.Domain) *workloadapi.X509Source {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	src, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(d.AgentSocket)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	return src
}

func checkX509(t *testing.T, a *stack.Domain) {
	src := source(t, a)
	svid, err := src.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	leaf := svid.Certificates[0]
	if svid.ID.String() != idA || leaf.Subject.CommonName != "web.test" {
		t.Errorf("got %s with the name %q", svid.ID, leaf.Subject.CommonName)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 75*time.Second {
		t.Errorf("asked for a minute, got %s", life)
	}
	for _, td := range []string{"a.test", "b.test"} {
		if _, err := src.GetX509BundleForTrustDomain(spiffeid.RequireTrustDomainFromString(td)); err != nil {
			t.Error(err)
		}
	}
}

func checkNoForeignBundle(t *testing.T, b *stack.Domain) {
	if _, err := source(t, b).GetX509BundleForTrustDomain(spiffeid.RequireTrustDomainFromString("a.test")); err == nil {
		t.Error("an entry without federatesWith got the foreign bundle")
	}
}

func checkJWT(t *testing.T, a *stack.Domain) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(a.AgentSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	svid, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "them"})
	if err != nil {
		t.Fatal(err)
	}
	if svid.ID.String() != idA || svid.Claims["iss"] != a.JWTIssuer {
		t.Errorf("got %s, issued by %v", svid.ID, svid.Claims["iss"])
	}
}

// TestSPIRERestarts shows that neither server nor agent needs to be told anything anew, and that nothing
// is left of them afterwards.
func TestSPIRERestarts(t *testing.T) {
	var pids []int
	t.Run("lives", func(t *testing.T) {
		d := stack.StartSPIRE(t, "c.test").Domains[0]
		d.Entry(t, "spiffe://c.test/web", stack.EntryOptions{})
		source(t, d)
		for _, p := range []*stack.Process{d.Server, d.Agent} {
			p.Kill()
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, p.PID())
		}
		source(t, d)
	})
	for _, pid := range pids {
		gone(t, pid)
	}
}
