package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// TestResumedConnectionsAreVerified holds the trap for which VerifyPeerCertificate is not enough: Go
// skips that one on a resumed connection.
func TestResumedConnectionsAreVerified(t *testing.T) {
	for name, tc := range map[string]struct {
		forceTickets bool
		resumed      int
	}{
		"with tickets forced on": {true, 2},
		"as shipped":             {false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, time.Hour)
			cfg := f.serverTLS()
			if tc.forceTickets {
				cfg.SessionTicketsDisabled = false
			}
			var verified, byPeerCertificate atomic.Int32
			inner := cfg.VerifyConnection
			cfg.VerifyConnection = func(s tls.ConnectionState) error { verified.Add(1); return inner(s) }
			cfg.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { byPeerCertificate.Add(1); return nil }
			l := mtls.ListenHTTP(listen(t), mtls.Config{TLS: cfg})
			defer l.Close()
			go greet(l)

			client := f.clientTLS()
			client.SessionTicketsDisabled = false
			client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
			resumed := 0
			for range 3 {
				state, err := handshake(l.Addr().String(), client)
				if err != nil {
					t.Fatal(err)
				}
				if state.DidResume {
					resumed++
				}
			}
			if resumed != tc.resumed {
				t.Errorf("%d of 3 connections were resumed, want %d", resumed, tc.resumed)
			}
			if verified.Load() != 3 {
				t.Errorf("VerifyConnection ran %d times for 3 connections", verified.Load())
			}
			if want := int32(3 - tc.resumed); byPeerCertificate.Load() != want {
				t.Errorf("VerifyPeerCertificate ran %d times, want %d: the trap has changed", byPeerCertificate.Load(), want)
			}
		})
	}
}

// TestResumptionAsksAgain takes the permission away between two connections of one session.
func TestResumptionAsksAgain(t *testing.T) {
	f := newFixture(t, time.Hour)
	var closed atomic.Bool
	cfg := mtls.Server(f.broker, f.broker, func(id spiffeid.ID, chains [][]*x509.Certificate) error {
		if closed.Load() {
			return mtls.AllowDomains()(id, chains)
		}
		return nil
	})
	cfg.SessionTicketsDisabled = false
	l := mtls.ListenHTTP(listen(t), mtls.Config{TLS: cfg})
	defer l.Close()
	go greet(l)
	client := f.clientTLS()
	client.SessionTicketsDisabled = false
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	if _, err := handshake(l.Addr().String(), client); err != nil {
		t.Fatal(err)
	}
	closed.Store(true)
	if _, err := handshake(l.Addr().String(), client); err == nil {
		t.Error("an old session got in after the permission was gone")
	}
}

func TestFederatedDomainIsLetInByNameOnly(t *testing.T) {
	a, b, c := newDomain(t, "a.test", time.Hour), newDomain(t, "b.test", time.Hour), newDomain(t, "c.test", time.Hour)
	a.Federate(b)
	b.Federate(a)
	c.Federate(a)
	f := newFixture(t, time.Hour)
	broker, ofB, ofC := a.Source(a.ID("/broker")), b.Source(b.ID("/x")), c.Source(c.ID("/x"))
	var log telemetrytest.Log
	try := func(client *embedded.Source, allowed ...spiffeid.TrustDomain) error {
		l := mtls.ListenHTTP(listen(t), mtls.Config{
			TLS: mtls.Server(broker, broker, mtls.AllowDomains(allowed...)), Metrics: f.metrics,
			Logger: log.Logger(), Name: "mesh",
		})
		t.Cleanup(func() { _ = l.Close() }) // not at once: it would end the handshake that is to be counted
		go greet(l)
		_, err := handshake(l.Addr().String(), mtls.Client(client, client, mtls.AllowDomains(a.Name())))
		return err
	}
	if err := try(ofB, a.Name(), b.Name()); err != nil {
		t.Errorf("a federated domain that is allowed: %v", err)
	}
	if err := try(ofB, a.Name()); err == nil {
		t.Error("a federated domain came in without being allowed by name")
	}
	if err := try(ofC, a.Name(), c.Name()); err == nil {
		t.Error("a domain that is allowed, but whose bundle nobody has, came in")
	}
	if err := try(a.Source(a.ID("/x"))); err == nil {
		t.Error("no domain is allowed, and one came in")
	}
	eventually(t, "b.test is counted as foreign, once", func() bool {
		return telemetrytest.Value(t, f.registry, "intercom_mtls_foreign_domain_refusals_total", "door=mesh", "trust_domain=b.test") == 1
	})
	eventually(t, "c.test is counted as unknown, once", func() bool {
		return telemetrytest.Value(t, f.registry, "intercom_mtls_handshakes_total", "result=unknown_domain") == 1
	})
	if n := telemetrytest.Value(t, f.registry, "intercom_mtls_foreign_domain_refusals_total", "trust_domain=c.test"); n != 0 {
		t.Error("the metrics name a domain that a stranger may have made up")
	}
	for _, want := range []string{"trust_domain=b.test", "trust_domain=c.test", "reason=foreign_domain", "reason=unknown_domain"} {
		eventually(t, "the log says "+want, func() bool { return strings.Contains(log.String(), want) })
	}
}

// forged makes certificates that a real authority of a.test signed, and that are no SVIDs all the same.
type forged struct {
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

func newForged(t *testing.T) forged {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return forged{ca, key}
}

// leaf returns what change makes of a good leaf, signed.
func (f forged) leaf(t *testing.T, change func(*x509.Certificate)) *x509svid.SVID {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{uri(t, "spiffe://a.test/x")}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, f.ca, &key.PublicKey, f.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &x509svid.SVID{ID: spiffeid.RequireFromString("spiffe://a.test/x"), Certificates: []*x509.Certificate{cert}, PrivateKey: key}
}

func uri(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestLeavesThatAreNoSVIDs: X509-SVID, sections 2 to 5.
func TestLeavesThatAreNoSVIDs(t *testing.T) {
	f := newFixture(t, time.Hour)
	ca := newForged(t)
	bundle := x509bundle.FromX509Authorities(f.domain.Name(), []*x509.Certificate{ca.ca})
	l := mtls.ListenHTTP(listen(t), mtls.Config{
		Name: "mesh", TLS: mtls.Server(f.broker, bundle, mtls.AllowDomains(f.domain.Name())), Metrics: f.metrics,
	})
	defer l.Close()
	go greet(l)
	for name, tc := range map[string]struct {
		reason string
		change func(*x509.Certificate)
	}{
		"":                          {"ok", func(*x509.Certificate) {}},
		"two URIs":                  {"bad_svid", func(c *x509.Certificate) { c.URIs = append(c.URIs, uri(t, "spiffe://a.test/y")) }},
		"no URI":                    {"bad_svid", func(c *x509.Certificate) { c.URIs = nil }},
		"a URI of another scheme":   {"bad_svid", func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "https://a.test/x")} }},
		"a trust domain, no path":   {"bad_svid", func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "spiffe://a.test")} }},
		"a CA":                      {"bad_svid", func(c *x509.Certificate) { c.IsCA = true }},
		"keyCertSign":               {"bad_svid", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }},
		"cRLSign":                   {"bad_svid", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }},
		"no digitalSignature":       {"bad_svid", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }},
		"ended":                     {"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }},
		"not begun":                 {"expired", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }},
		"another domain's name":     {"unknown_domain", func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "spiffe://b.test/x")} }},
		"a name only as DNS":        {"bad_svid", func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"a.test"} }},
		"a name that is not a name": {"bad_svid", func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "spiffe://a.test/x/../y")} }},
	} {
		before := telemetrytest.Value(t, f.registry, "intercom_mtls_handshakes_total", "result="+tc.reason)
		leaf := ca.leaf(t, tc.change)
		_, err := handshake(l.Addr().String(), mtls.Client(leaf, f.client, mtls.AllowDomains(f.domain.Name())))
		if (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
		eventually(t, name+" is counted as "+tc.reason, func() bool {
			return telemetrytest.Value(t, f.registry, "intercom_mtls_handshakes_total", "result="+tc.reason) == before+1
		})
	}
}

func TestOldTLSAndNoCertificateAreRefused(t *testing.T) {
	f := newFixture(t, time.Hour)
	l := mtls.ListenHTTP(listen(t), f.config())
	defer l.Close()
	go greet(l)
	old := f.clientTLS()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := handshake(l.Addr().String(), old); !contains(err, "protocol version") {
		t.Errorf("TLS 1.2: %v", err)
	}
	bare := f.clientTLS()
	bare.GetClientCertificate = nil
	if _, err := handshake(l.Addr().String(), bare); err == nil {
		t.Error("a client without a certificate came in")
	}
	// And the client's side: a server of another domain is not the broker.
	b := newDomain(t, "b.test", time.Hour)
	f.domain.Federate(b)
	wrong := mtls.Client(f.client, f.client, mtls.AllowDomains(b.Name()))
	if _, err := handshake(l.Addr().String(), wrong); !contains(err, "not allowed") {
		t.Errorf("a server of a domain that is not allowed: %v", err)
	}
	nobody := mtls.Client(f.client, f.client, nil)
	if _, err := handshake(l.Addr().String(), nobody); err == nil {
		t.Error("a nil authorizer accepted a server")
	}
}

func TestWebAsksWithoutDemanding(t *testing.T) {
	f := newFixture(t, time.Hour)
	f.domain.SetDNS(f.broker.ID(), "broker.test")
	certificate := mtls.Server(f.broker, f.broker, nil).GetCertificate
	l := mtls.ListenHTTP(listen(t), mtls.Config{TLS: mtls.Web(certificate, f.broker, mtls.AllowDomains(f.domain.Name()))})
	defer l.Close()
	go greet(l)

	roots := x509.NewCertPool()
	for _, ca := range f.domain.Bundle().X509Authorities() {
		roots.AddCert(ca)
	}
	stock := &tls.Config{RootCAs: roots, ServerName: "broker.test"}
	if _, err := handshake(l.Addr().String(), stock); err != nil {
		t.Errorf("a client without a certificate: %v", err)
	}
	if _, err := handshake(l.Addr().String(), f.clientTLS()); err != nil {
		t.Errorf("a client with an SVID: %v", err)
	}
	stranger := newDomain(t, "a.test", time.Hour) // the same name, other authorities
	s := stranger.Source(stranger.ID("/x"))
	if _, err := handshake(l.Addr().String(), mtls.Client(s, f.client, mtls.AllowDomains(f.domain.Name()))); err == nil {
		t.Error("a bad SVID was taken for none")
	}
}

func TestPeer(t *testing.T) {
	f := newFixture(t, time.Hour)
	l := mtls.ListenHTTP(listen(t), f.config())
	defer l.Close()
	go greet(l)
	state, err := handshake(l.Addr().String(), f.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	id, cert, err := mtls.Peer(state)
	if err != nil || id != f.broker.ID() || cert != state.PeerCertificates[0] {
		t.Errorf("%v, %v", id, err)
	}
	ended := state
	leaf := *state.PeerCertificates[0]
	leaf.NotAfter = time.Now().Add(-time.Second)
	ended.PeerCertificates = []*x509.Certificate{&leaf}
	none := state
	none.PeerCertificates = nil
	old := state
	old.Version = tls.VersionTLS12
	for name, bad := range map[string]tls.ConnectionState{"ended": ended, "none": none, "old": old, "zero": {}} {
		if id, _, err := mtls.Peer(bad); err == nil {
			t.Errorf("%s: taken for %s", name, id)
		}
	}
}

// TestThumbprint holds the form of RFC 8705, section 3.1, base64url(SHA-256(DER)) without padding, over
// the message of FIPS 180-2, appendix B.1.
func TestThumbprint(t *testing.T) {
	got := mtls.Thumbprint(&x509.Certificate{Raw: []byte("abc")})
	if got != "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" {
		t.Error(got)
	}
}
