package mtls

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// AllowDomains authorizes every workload of the named trust domains and nobody else; of none when there
// are no names.
func AllowDomains(names ...spiffeid.TrustDomain) tlsconfig.Authorizer { panic("not yet") }

// Server returns the configuration of a listener that demands a client SVID.
func Server(svid x509svid.Source, bundles x509bundle.Source, authorize tlsconfig.Authorizer, nextProtos ...string) *tls.Config {
	panic("not yet")
}

// Web returns the configuration of a listener whose certificate is not an SVID, and that asks for a
// client SVID without demanding it: none is fine, a bad one is refused.
func Web(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), bundles x509bundle.Source, authorize tlsconfig.Authorizer, nextProtos ...string) *tls.Config {
	panic("not yet")
}

// Client returns the configuration of a client that shows its SVID and demands one of the server.
func Client(svid x509svid.Source, bundles x509bundle.Source, authorize tlsconfig.Authorizer, nextProtos ...string) *tls.Config {
	panic("not yet")
}

// Peer returns who is at the other end of a connection that was made with one of this package's
// configurations, and the certificate that proved it.
func Peer(state tls.ConnectionState) (spiffeid.ID, *x509.Certificate, error) { panic("not yet") }

// Thumbprint returns the certificate's `x5t#S256` (RFC 8705, section 3.1).
func Thumbprint(cert *x509.Certificate) string { panic("not yet") }
