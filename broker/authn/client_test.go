package authn_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/secret"
)

// connection is that of a real handshake with the web door; a nil caller shows no certificate.
func connection(t *testing.T, d *embedded.Domain, caller *embedded.Source) tls.ConnectionState {
	t.Helper()
	broker := d.Source(d.ID("/broker"))
	certificate := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		svid, err := broker.GetX509SVID()
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{svid.Certificates[0].Raw}, PrivateKey: svid.PrivateKey}, nil
	}
	l := mtls.ListenHTTP(listen(t), mtls.Config{TLS: mtls.Web(certificate, broker, mtls.AllowDomains(d.Name()), "http/1.1")})
	seen := make(chan tls.ConnectionState, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- *r.TLS })}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	config := mtls.Client(d.Source(d.ID("/x")), broker, mtls.AllowDomains(d.Name()), "http/1.1")
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if caller == nil {
			return &tls.Certificate{}, nil
		}
		svid, err := caller.GetX509SVID()
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{svid.Certificates[0].Raw}, PrivateKey: svid.PrivateKey}, nil
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	t.Cleanup(client.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return <-seen
}

func TestOAuthClients(t *testing.T) {
	i, d := newIssuer(t), newDomain(t, "a.test")
	v, orders := i.verifier(t, nil, nil), d.Source(d.ID("/orders"))
	certified, bare := connection(t, d, orders), connection(t, d, nil)
	asserted := func(changes jwt.MapClaims) secret.Value { return secret.FromString(i.sign(t, claims(changes), nil)) }
	soon := time.Now().Add(time.Minute).Truncate(time.Second)
	const id = "spiffe://a.test/orders"
	for name, c := range map[string]struct {
		proof authn.ClientProof
		kind  fault.Kind // 0: it counts
		by    identity.Proof
	}{
		"certificate":             {authn.ClientProof{TLS: &certified}, 0, identity.ByX509SVID},
		"and client_id":           {authn.ClientProof{TLS: &certified, ID: id}, 0, identity.ByX509SVID},
		"JWT-SVID":                {authn.ClientProof{AssertionType: authn.AssertionJWTSVID, Assertion: asserted(nil)}, 0, identity.ByJWTSVID},
		"JWT-SVID on TLS":         {authn.ClientProof{TLS: &bare, AssertionType: authn.AssertionJWTSVID, Assertion: asserted(nil)}, 0, identity.ByJWTSVID},
		"as RFC 7523 has it":      {authn.ClientProof{AssertionType: authn.AssertionJWT, Assertion: asserted(nil), ID: id}, 0, identity.ByJWTSVID},
		"both":                    {authn.ClientProof{TLS: &certified, AssertionType: authn.AssertionJWTSVID, Assertion: asserted(jwt.MapClaims{"exp": soon.Unix()})}, 0, identity.ByX509SVID},
		"both, different":         {authn.ClientProof{TLS: &certified, AssertionType: authn.AssertionJWTSVID, Assertion: asserted(jwt.MapClaims{"sub": "spiffe://a.test/x"})}, fault.Unauthenticated, ""},
		"a bad one beside":        {authn.ClientProof{TLS: &certified, AssertionType: authn.AssertionJWTSVID, Assertion: secret.FromString("x")}, fault.Unauthenticated, ""},
		"nothing":                 {authn.ClientProof{}, fault.Unauthenticated, ""},
		"nothing on TLS":          {authn.ClientProof{TLS: &bare}, fault.Unauthenticated, ""},
		"a name alone":            {authn.ClientProof{TLS: &bare, ID: id}, fault.Unauthenticated, ""},
		"another name":            {authn.ClientProof{TLS: &certified, ID: "spiffe://a.test/x"}, fault.Unauthenticated, ""},
		"another name, JWT-SVID":  {authn.ClientProof{ID: "orders", AssertionType: authn.AssertionJWT, Assertion: asserted(nil)}, fault.Unauthenticated, ""},
		"for another audience":    {authn.ClientProof{AssertionType: authn.AssertionJWTSVID, Assertion: asserted(jwt.MapClaims{"aud": us + "/oauth2/token"})}, fault.Unauthenticated, ""},
		"another type":            {authn.ClientProof{AssertionType: "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", Assertion: asserted(nil)}, fault.Unauthenticated, ""},
		"a type alone":            {authn.ClientProof{TLS: &certified, AssertionType: authn.AssertionJWTSVID}, fault.InvalidRequest, ""},
		"an assertion alone":      {authn.ClientProof{TLS: &certified, Assertion: asserted(nil)}, fault.InvalidRequest, ""},
		"a connection not of TLS": {authn.ClientProof{TLS: &tls.ConnectionState{PeerCertificates: certified.PeerCertificates}}, fault.Unauthenticated, ""},
	} {
		p, err := v.Client(t.Context(), c.proof)
		if c.by == "" {
			if fault.KindOf(err) != c.kind || !p.IsZero() {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
			continue
		}
		if err != nil || p.Subject() != id || p.Workload.Proof != c.by || (p.Workload.Thumbprint != "") != (c.by == identity.ByX509SVID) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if name == "both" && !p.NotAfter().Equal(soon) {
			t.Errorf("%s: ends %s, the JWT-SVID %s", name, p.NotAfter(), soon)
		}
	}
}
