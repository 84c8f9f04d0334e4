package embedded_test

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/embedded"
)

func newDomain(t *testing.T, cfg embedded.Config) *embedded.Domain {
	t.Helper()
	d, err := embedded.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// shortDir returns a directory whose name leaves room for a socket, which t.TempDir does not promise.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ic")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serve starts a Workload API that ends with the test, and returns its address.
func serve(t *testing.T, d *embedded.Domain, id spiffeid.ID) string {
	t.Helper()
	api, err := d.Listen(filepath.Join(shortDir(t), "api.sock"), id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the Workload API ended with %v", err)
		}
	})
	return api.Address()
}

func TestX509SVIDIsOneByTheBook(t *testing.T) {
	d := newDomain(t, embedded.Config{})
	id := d.ID("/orders")
	d.SetDNS(id, "orders.test", "o.test")
	svid, err := d.X509SVID(id)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := x509svid.Verify(svid.Certificates, d.Bundle())
	if err != nil || got != id {
		t.Fatalf("verified as %v: %v", got, err)
	}
	leaf := svid.Certificates[0]
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !leaf.BasicConstraintsValid {
		t.Errorf("a leaf with CA=%t and key usage %b", leaf.IsCA, leaf.KeyUsage)
	}
	if leaf.Subject.CommonName != "orders.test" || len(leaf.DNSNames) != 2 {
		t.Errorf("common name %q, DNS names %q", leaf.Subject.CommonName, leaf.DNSNames)
	}
	// What go-spiffe refuses to load would be of no use behind a socket.
	chain, key, err := svid.MarshalRaw()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509svid.ParseRaw(chain, key); err != nil {
		t.Error(err)
	}
}

func TestSourceRenewsAtHalfLife(t *testing.T) {
	now := time.Now()
	d := newDomain(t, embedded.Config{SVIDLife: time.Hour, Now: func() time.Time { return now }})
	s := d.Source(d.ID("/orders"))
	first := serialOf(t, s)
	now = now.Add(29 * time.Minute)
	if serialOf(t, s) != first {
		t.Error("renewed before half of the life was over")
	}
	now = now.Add(2 * time.Minute)
	second := serialOf(t, s)
	if second == first {
		t.Error("not renewed at half life")
	}
	d.Rotate()
	if serialOf(t, s) == second {
		t.Error("Rotate changed nothing")
	}
}

func TestUpdatedComesByItselfAtHalfLife(t *testing.T) {
	d := newDomain(t, embedded.Config{SVIDLife: 200 * time.Millisecond})
	s := d.Source(d.ID("/orders"))
	for range 3 {
		first := serialOf(t, s)
		await(t, s.Updated())
		if serialOf(t, s) == first {
			t.Error("told of a change, but the SVID is the same")
		}
	}
}

func TestRotatedAuthorityKeepsTheOld(t *testing.T) {
	d := newDomain(t, embedded.Config{})
	old, err := d.X509SVID(d.ID("/old"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.PrepareAuthority(); err != nil {
		t.Fatal(err)
	}
	prepared, err := d.X509SVID(d.ID("/prepared"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(d.Bundle().X509Authorities()); n != 2 {
		t.Errorf("prepared: %d authorities in the bundle, want 2", n)
	}
	if err := d.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	fresh, err := d.X509SVID(d.ID("/fresh"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(d.Bundle().X509Authorities()); n != 2 {
		t.Errorf("rotated: %d authorities in the bundle, want 2", n)
	}
	if string(old.Certificates[0].AuthorityKeyId) != string(prepared.Certificates[0].AuthorityKeyId) {
		t.Error("signed with an authority that was only prepared")
	}
	if string(old.Certificates[0].AuthorityKeyId) == string(fresh.Certificates[0].AuthorityKeyId) {
		t.Error("signed with the old authority after the rotation")
	}
	for _, svid := range []*x509svid.SVID{old, prepared, fresh} {
		if _, _, err := x509svid.Verify(svid.Certificates, d.Bundle()); err != nil {
			t.Errorf("%s: %v", svid.ID, err)
		}
	}
}

func TestFederationIsOneWayAndNeverMerges(t *testing.T) {
	a := newDomain(t, embedded.Config{Name: spiffeid.RequireTrustDomainFromString("a.test")})
	b := newDomain(t, embedded.Config{Name: spiffeid.RequireTrustDomainFromString("b.test")})
	a.Federate(b)
	inA, inB := a.Source(a.ID("/x")), b.Source(b.ID("/y"))
	fromB, err := inB.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x509svid.Verify(fromB.Certificates, inA); err != nil {
		t.Errorf("a does not know b: %v", err)
	}
	fromA, err := inA.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x509svid.Verify(fromA.Certificates, inB); err == nil {
		t.Error("b knows a, though only a asked for it")
	}
	// An authority of b does not speak for a.
	liar, err := b.X509SVID(a.ID("/x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x509svid.Verify(liar.Certificates, inA); err == nil {
		t.Error("b signed for a name in a, and a believed it")
	}
}

func serialOf(t *testing.T, s x509svid.Source) string {
	t.Helper()
	svid, err := s.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	return svid.Certificates[0].SerialNumber.String()
}

func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		t.Fatal("waited 30 s for a change")
	}
}
