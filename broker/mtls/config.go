package mtls

import (
	"crypto/tls"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Server returns the configuration of a listener that shows our SVID and demands one of the client.
// A nil authorize lets nobody in.
func Server(svid x509svid.Source, bundles x509bundle.Source, authorize tlsconfig.Authorizer, nextProtos ...string) *tls.Config {
	cfg := base(verifier{bundles: bundles, authorize: authorize, demand: true}, nextProtos)
	cfg.GetCertificate = tlsconfig.GetCertificate(svid)
	cfg.ClientAuth = tls.RequireAnyClientCert // verified by us: the standard verifier knows no SPIFFE ID
	return cfg
}

// Web returns the configuration of a listener whose certificate is not an SVID, for clients that know no
// SPIFFE. It asks for a client SVID without demanding one: none is fine, and a bad one is refused.
func Web(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), bundles x509bundle.Source, authorize tlsconfig.Authorizer, nextProtos ...string) *tls.Config {
	cfg := base(verifier{bundles: bundles, authorize: authorize}, nextProtos)
	cfg.GetCertificate = certificate
	cfg.ClientAuth = tls.RequestClientCert
	return cfg
}

// Client returns the configuration of a client that shows our SVID and demands one of the server.
// A nil authorize accepts no server.
func Client(svid x509svid.Source, bundles x509bundle.Source, authorize tlsconfig.Authorizer, nextProtos ...string) *tls.Config {
	cfg := base(verifier{bundles: bundles, authorize: authorize, demand: true}, nextProtos)
	cfg.GetClientCertificate = tlsconfig.GetClientCertificate(svid)
	// Not insecure: VerifyConnection does the whole of it. An SVID has no host name that the standard
	// verifier could compare.
	cfg.InsecureSkipVerify = true
	return cfg
}

func base(v verifier, nextProtos []string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             nextProtos,
		VerifyConnection:       v.verify,
		SessionTicketsDisabled: true,
	}
}
