package inject_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
)

// pair returns a certificate for name and its key, as PEM.
func pair(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

func TestCertificate(t *testing.T) {
	certificate, key := pair(t, "intercom")
	got, err := inject.Certificate(fields("certificate", certificate, "key", key))
	if err != nil || got.Leaf.Subject.CommonName != "intercom" {
		t.Errorf("%v", err)
	}
	_, other := pair(t, "other")
	for name, pairs := range map[string][]string{
		"no key":         {"certificate", certificate},
		"no certificate": {"key", key},
		"another's key":  {"certificate", certificate, "key", other},
		"the wrong way":  {"certificate", key, "key", certificate},
		"no PEM":         {"certificate", "hunter2", "key", "hunter2"},
	} {
		_, err := inject.Certificate(fields(pairs...))
		if err == nil || fault.From(err).Reason != inject.ReasonUnusable || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
