package embedded

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

const (
	authorityLife = 365 * 24 * time.Hour
	// backdate is how far before its making a certificate is valid, for clocks that are behind.
	backdate = 10 * time.Second
)

// authority is what a domain signs with: a CA for X.509-SVIDs and a key for JWT-SVIDs.
type authority struct {
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	jwtKey *ecdsa.PrivateKey
	kid    string
}

func newAuthority(td spiffeid.TrustDomain, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an authority: %w", err)
	}
	jwtKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an authority: %w", err)
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Intercom, embedded"}, SerialNumber: serial.String()},
		URIs:                  []*url.URL{td.ID().URL()},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err := create(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, jwtKey: jwtKey, kid: rand.Text()}, nil
}

// newSerial returns 127 random bits: positive, and within the 20 octets of RFC 5280, section 4.1.2.2.
func newSerial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// wholeSecond rounds up: X.509 has whole seconds and would round down, and half of a short life, at which
// the next SVID comes, may then be after its end.
func wholeSecond(t time.Time) time.Time {
	return t.Add(time.Second - time.Nanosecond).Truncate(time.Second)
}

func create(template, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// X509SVID returns a new X.509-SVID for id, which need not be a workload of d: a test may want a liar.
func (d *Domain) X509SVID(id spiffeid.ID) (*x509svid.SVID, error) {
	d.mu.Lock()
	signer, names := d.active, d.dns[id]
	d.mu.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an X.509-SVID: %w", err)
	}
	now := d.cfg.Now()
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{"Intercom, embedded"}},
		URIs:                  []*url.URL{id.URL()},
		DNSNames:              names,
		NotBefore:             now.Add(-backdate),
		NotAfter:              wholeSecond(now.Add(d.cfg.SVIDLife)),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if len(names) > 0 {
		template.Subject.CommonName = names[0]
	}
	cert, err := create(template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		return nil, err
	}
	return &x509svid.SVID{ID: id, Certificates: []*x509.Certificate{cert}, PrivateKey: key}, nil
}

// JWTSVID returns a new JWT-SVID for id.
func (d *Domain) JWTSVID(id spiffeid.ID, audience ...string) (*jwtsvid.SVID, error) {
	d.mu.Lock()
	signer := d.active
	d.mu.Unlock()
	now := d.cfg.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer: d.cfg.Issuer, Subject: id.String(), Audience: audience, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(d.cfg.JWTLife)),
	})
	token.Header["kid"] = signer.kid
	signed, err := token.SignedString(signer.jwtKey)
	if err != nil {
		return nil, fmt.Errorf("making a JWT-SVID: %w", err)
	}
	return jwtsvid.ParseInsecure(signed, audience)
}
