package stack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a certificate authority of tests. What it vouches for is valid for a day.
type Authority struct {
	// File has its certificate.
	File string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that ends with the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a, err := newAuthority(filepath.Join(t.TempDir(), "ca.pem"))
	require(t, err)
	return a
}

func newAuthority(file string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certTemplate("deploy/stack CA")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{file, cert, key}, writePEM(file, blockCert, der)
}

// Issue writes the certificate of a server that has these names or addresses, and its key.
func (a *Authority) Issue(certFile, keyFile string, names ...string) error {
	cert, key, err := a.issue(names)
	if err != nil {
		return err
	}
	return errors.Join(writePEM(keyFile, blockKey, key), writePEM(certFile, blockCert, cert))
}

// NewPair is the certificate and the key of somebody with these names or addresses, as PEM, by an authority that nobody knows.
func NewPair(t testing.TB, names ...string) (cert, key string) {
	t.Helper()
	a, err := newAuthority(filepath.Join(t.TempDir(), "ca.pem"))
	require(t, err)
	certDER, keyDER, err := a.issue(names)
	require(t, err)
	return string(encodePEM(blockCert, certDER)), string(encodePEM(blockKey, keyDER))
}

// issue returns both in DER.
func (a *Authority) issue(names []string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf := certTemplate(names[0])
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	if cert, err = x509.CreateCertificate(rand.Reader, leaf, a.cert, &private.PublicKey, a.key); err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKCS8PrivateKey(private)
	return cert, key, err
}

// Pool is the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// The kinds of PEM blocks.
const (
	blockCert = "CERTIFICATE"
	blockKey  = "PRIVATE KEY"
)

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writePEM(file, kind string, der []byte) error {
	if err := os.WriteFile(file, encodePEM(kind, der), 0o600); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	return nil
}

func certTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

// certificates are the files of a server that has an authority of its own.
type certificates struct {
	ca        *Authority
	cert, key string
}

// newCertificates makes an authority, and a certificate for localhost, 127.0.0.1 and the names of [ResolveNames].
func newCertificates(dir string) (c certificates, err error) {
	if c.ca, err = newAuthority(filepath.Join(dir, "ca.pem")); err != nil {
		return c, err
	}
	c.cert, c.key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return c, c.ca.Issue(c.cert, c.key, "localhost", "127.0.0.1", "*."+TestDomain)
}
