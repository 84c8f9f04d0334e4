package mtls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// AllowDomains authorizes every workload of the named trust domains and nobody else; nobody at all when
// there are no names. That a bundle is known does not let its domain in.
func AllowDomains(names ...spiffeid.TrustDomain) tlsconfig.Authorizer {
	allowed := slices.Clone(names)
	return func(id spiffeid.ID, _ [][]*x509.Certificate) error {
		if slices.Contains(allowed, id.TrustDomain()) {
			return nil
		}
		return refuse(foreignDomain, id, fmt.Errorf("trust domain %q is not allowed", id.TrustDomain().Name()))
	}
}

// verifier is what VerifyConnection does.
type verifier struct {
	bundles   x509bundle.Source
	authorize tlsconfig.Authorizer
	demand    bool
}

func (v verifier) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		if v.demand {
			return refuse(noCertificate, spiffeid.ID{}, errors.New("the peer showed no certificate"))
		}
		return nil
	}
	id, err := svidID(state.PeerCertificates[0])
	if err != nil {
		return refuse(badSVID, id, err)
	}
	// The bundle of the SVID's own trust domain: an authority of one domain never vouches for another.
	bundle, err := v.bundles.GetX509BundleForTrustDomain(id.TrustDomain())
	if err != nil {
		return refuse(unknownDomain, id, err)
	}
	_, chains, err := x509svid.Verify(state.PeerCertificates, bundle)
	if err != nil {
		return refuse(whyInvalid(err), id, err)
	}
	if v.authorize == nil {
		return refuse(unauthorized, id, errors.New("no peer is authorized"))
	}
	if err := v.authorize(id, chains); err != nil {
		return refuse(unauthorized, id, err)
	}
	return nil
}

func whyInvalid(err error) reason {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return expired
	}
	return badSVID
}

// svidID returns the SPIFFE ID of a leaf and holds it to what x509svid.Verify leaves open (X509-SVID,
// sections 2 and 4.3): a path, and digitalSignature among the key usages. Exactly one URI and cA=false
// are checked there.
func svidID(leaf *x509.Certificate) (spiffeid.ID, error) {
	id, err := x509svid.IDFromCert(leaf)
	switch {
	case err != nil:
		return spiffeid.ID{}, err
	case id.Path() == "":
		return id, fmt.Errorf("%s names a trust domain, not a workload", id)
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return id, errors.New("the key usage lacks digitalSignature")
	}
	return id, nil
}

// Peer returns who is at the other end of a connection that was made with one of this package's
// configurations, and the certificate that proved it. What it reads was verified at the handshake; it
// looks again only at what changes since: the time.
func Peer(state tls.ConnectionState) (spiffeid.ID, *x509.Certificate, error) {
	switch {
	case !state.HandshakeComplete || state.Version < tls.VersionTLS13:
		return spiffeid.ID{}, nil, errors.New("not a connection of this package")
	case len(state.PeerCertificates) == 0:
		return spiffeid.ID{}, nil, errors.New("the peer showed no certificate")
	}
	leaf := state.PeerCertificates[0]
	if time.Now().After(leaf.NotAfter) {
		return spiffeid.ID{}, nil, fmt.Errorf("the peer's certificate ended at %s", leaf.NotAfter.Format(time.RFC3339))
	}
	id, err := svidID(leaf)
	if err != nil {
		return spiffeid.ID{}, nil, err
	}
	return id, leaf, nil
}

// Thumbprint returns the certificate's `x5t#S256` (RFC 8705, section 3.1).
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
