package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/mtls"
)

// TestCertFiles: another pair is shown when it fits together, and the old one until then.
func TestCertFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := mtls.CertFiles(cert, key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("files that are not there are no error")
	}
	written := time.Now().Add(-time.Hour)
	write := func(name string, content []byte) {
		t.Helper()
		written = written.Add(time.Second) // a file system may have coarse times
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, written, written); err != nil {
			t.Fatal(err)
		}
	}
	firstCert, firstKey := pair(t, 1)
	write(cert, firstCert)
	write(key, firstKey)
	get, err := mtls.CertFiles(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		c, err := get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.Int64()
	}
	secondCert, secondKey := pair(t, 2)
	write(cert, secondCert)
	if got := serial(); got != 1 {
		t.Errorf("halfway through: %d is shown", got)
	}
	write(key, secondKey)
	if got := serial(); got != 2 {
		t.Errorf("after the change: %d is shown", got)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 {
		t.Errorf("without a key: %d is shown", got)
	}
}

func pair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
