package svid_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// files is an identity in files, with a federated domain.
type files struct {
	dir        string
	own, other *embedded.Domain
	cfg        svid.Config
	registry   *prometheus.Registry
	log        telemetrytest.Log
}

func newFiles(t *testing.T) *files {
	t.Helper()
	f := &files{dir: t.TempDir(), own: newDomain(t, "a.test", time.Hour), other: newDomain(t, "b.test", time.Hour), registry: prometheus.NewRegistry()}
	cert, key := f.pair(t)
	f.cfg = svid.Config{
		CertFile: write(t, f.dir, "svid.pem", cert), KeyFile: write(t, f.dir, "svid.key", key),
		Bundles: map[string]string{"a.test": write(t, f.dir, "a.pem", f.pem(t)), "b.test": write(t, f.dir, "b.json", f.json(t))},
		Poll:    5 * time.Millisecond, Metrics: svid.NewMetrics(f.registry), Logger: f.log.Logger(),
	}
	return f
}

func (f *files) pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	own, err := f.own.X509SVID(f.own.ID("/broker"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err = own.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (f *files) pem(t *testing.T) []byte {
	t.Helper()
	out, err := f.own.Bundle().X509Bundle().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f *files) json(t *testing.T) []byte {
	t.Helper()
	out, err := f.other.Bundle().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFilesAreReadAgain(t *testing.T) {
	f := newFiles(t)
	s := open(t, f.cfg)
	first := serialOf(t, s)
	if s.ID() != f.own.ID("/broker") {
		t.Error(s.ID())
	}
	if b, err := s.GetJWTBundleForTrustDomain(f.other.Name()); err != nil || len(b.JWTAuthorities()) != 1 {
		t.Errorf("the SPIFFE bundle's JWT authorities: %v", err)
	}
	if _, err := s.FetchJWTSVID(t.Context(), "vault"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a JWT-SVID out of files: %v", err)
	}

	// The certificate is written before the key: in between they do not belong together.
	failures := func() float64 {
		return telemetrytest.Value(t, f.registry, "intercom_svid_failures_total", "what=files")
	}
	cert, key := f.pair(t)
	write(t, f.dir, "svid.pem", cert)
	eventually(t, "the half of a rotation is refused", func() bool { return failures() > 0 })
	if serialOf(t, s) != first || s.Ready() != nil {
		t.Error("half of a rotation was taken")
	}
	write(t, f.dir, "svid.key", key)
	changesUntil(t, s, "the other half", func() bool { return serialOf(t, s) != first })

	if err := f.other.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	write(t, f.dir, "b.json", f.json(t))
	changesUntil(t, s, "the federated bundle", func() bool {
		b, _ := s.GetX509BundleForTrustDomain(f.other.Name())
		return len(b.X509Authorities()) == 2
	})
}

func TestBrokenFilesAreNotTaken(t *testing.T) {
	f := newFiles(t)
	s := open(t, f.cfg)
	first := serialOf(t, s)
	good := f.pem(t)
	stranger, _ := newDomain(t, "a.test", time.Hour).Bundle().X509Bundle().Marshal()
	for name, bad := range map[string][]byte{
		"empty":        {},
		"truncated":    good[:len(good)/2],
		"no keys":      []byte(`{"keys": []}`),
		"not JSON":     []byte(`{"keys": `),
		"not ours":     stranger,
		"symmetric":    []byte(`{"keys":[{"use":"jwt-svid","kty":"oct","kid":"k","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}]}`),
		"over a limit": bytes.Repeat(good, 1<<20/len(good)+1),
	} {
		write(t, f.dir, "a.pem", good)
		eventually(t, "all is well again", func() bool {
			before := telemetrytest.Value(t, f.registry, "intercom_svid_failures_total", "what=files")
			<-time.After(30 * time.Millisecond)
			return telemetrytest.Value(t, f.registry, "intercom_svid_failures_total", "what=files") == before
		})
		before := telemetrytest.Value(t, f.registry, "intercom_svid_failures_total", "what=files")
		write(t, f.dir, "a.pem", bad)
		eventually(t, name+" is refused", func() bool {
			return telemetrytest.Value(t, f.registry, "intercom_svid_failures_total", "what=files") > before+2
		})
		if b, err := s.GetX509BundleForTrustDomain(f.own.Name()); err != nil || len(b.X509Authorities()) != 1 || serialOf(t, s) != first {
			t.Errorf("%s: was taken", name)
		}
	}
	if n := strings.Count(f.log.String(), "identity is not renewed"); n > 20 {
		t.Errorf("6 broken files made %d lines", n)
	}
	_ = os.Remove(filepath.Join(f.dir, "a.pem"))
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesBrokenFiles(t *testing.T) {
	for want, spoil := range map[string]func(*testing.T, *files){
		"openssl pkcs8": func(t *testing.T, f *files) { write(t, f.dir, "svid.key", sec1Key(t)) },
		"trust domain is missing": func(t *testing.T, f *files) {
			f.cfg.Bundles = map[string]string{"spiffe://": filepath.Join(f.dir, "a.pem")}
		},
		"could not get X509 bundle": func(t *testing.T, f *files) { delete(f.cfg.Bundles, "a.test") },
		"does not match private key": func(t *testing.T, f *files) {
			_, key := f.pair(t)
			write(t, f.dir, "svid.key", key)
		},
		"ended at": func(t *testing.T, f *files) {
			f.cfg.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		},
	} {
		f := newFiles(t)
		spoil(t, f)
		if _, err := svid.Open(t.Context(), f.cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func sec1Key(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}
