package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// socket serves a workload's SVID, and returns the address.
func socket(t *testing.T, d *embedded.Domain, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "id-") // not t.TempDir: the path of a Unix socket has 107 bytes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	api, err := d.Listen(filepath.Join(dir, "w.sock"), d.ID(path))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return api.Address()
}

// TestIdentity lets the gateway be somebody whom the brokers do not want.
func TestIdentity(t *testing.T) {
	l := startLesser(t, nil)
	look := func(t *testing.T, change func(*doctor.Options)) []doctor.Row {
		t.Helper()
		c := l.Gateways[0].Config
		c.UpstreamCA = l.Authority.File
		o := doctor.Options{Gateway: &c, GatewayFile: "gateway.yaml", Timeout: patient}
		change(&o)
		return doctor.Examine(t.Context(), o)
	}
	t.Run("whom policy does not know", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) { o.Gateway.Identity.Socket = socket(t, l.Broker.Domain, "/stranger") })
		broken(t, rows, want{"policy", doctor.Fail, "do not let us have", "p, spiffe://intercom.test/stranger, admin, admin/policy, allow"}, always()...)
	})
	t.Run("of a trust domain that the brokers do not let in", func(t *testing.T) {
		other, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("other.test")})
		must(t, err)
		other.Federate(l.Broker.Domain)
		rows := look(t, func(o *doctor.Options) { o.Gateway.Identity.Socket = socket(t, other, "/gateway") })
		broken(t, rows, want{"brokers", doctor.Fail, l.Broker.Mesh + " it does not take our SVID", "identity.allow"}, append(always(), "policy")...)
	})
	// The agent hands out what it made when its clock was right: its server was away since.
	for name, c := range map[string]struct {
		made time.Duration
		want want
	}{
		"whose SVID is not renewed":     {50 * time.Minute, want{"identity", doctor.Warn, "was not renewed", "the agent's log"}},
		"whose SVID does not count yet": {-5 * time.Minute, want{"identity", doctor.Fail, "is before", "set this machine's clock"}},
		"whose SVID has ended":          {2 * time.Hour, want{"identity", doctor.Fail, "ended", "the agent's log"}},
	} {
		t.Run(name, func(t *testing.T) {
			stale, err := embedded.New(embedded.Config{
				Name: spiffeid.RequireTrustDomainFromString("stale.test"), Now: func() time.Time { return time.Now().Add(-c.made) },
			})
			must(t, err)
			stale.Federate(l.Broker.Domain)
			rows := look(t, func(o *doctor.Options) { o.Gateway.Identity.Socket = socket(t, stale, "/gateway") })
			broken(t, rows, c.want, append(always(), "policy", "brokers")...)
		})
	}
	t.Run("of files, with a certificate of browsers'", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) {
			o.Gateway.Identity.Socket = ""
			o.Gateway.Identity.Cert, o.Gateway.Identity.Key = o.Gateway.Listen.Cert, o.Gateway.Listen.Key
			o.Gateway.Identity.Bundles = map[string]string{"intercom.test": l.Authority.File}
		})
		broken(t, rows, want{"identity", doctor.Fail, "", "is an SVID"}, always()...)
	})
	for name, c := range map[string]struct {
		from, to time.Duration
		want     want
	}{
		"whose certificate is to be replaced":  {-80 * 24 * time.Hour, 10 * 24 * time.Hour, want{"certificate", doctor.Warn, "ends in 9 days", "replace it"}},
		"whose short certificate is":           {-5 * time.Hour, 2 * time.Hour, want{"certificate", doctor.Warn, "ends in 2h0m0s", "replace it"}},
		"whose certificate has ended":          {-90 * 24 * time.Hour, -time.Hour, want{"certificate", doctor.Fail, "it ended on", "replace it"}},
		"whose certificate does not count yet": {time.Hour, 90 * 24 * time.Hour, want{"certificate", doctor.Fail, "it counts from", "clock"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows := look(t, func(o *doctor.Options) {
				o.Gateway.Listen.Cert, o.Gateway.Listen.Key = certificate(t, "app.intercom.test", c.from, c.to)
			})
			broken(t, rows, c.want, always()...)
		})
	}
	t.Run("and a service whose certificate ends soon", func(t *testing.T) {
		cert, key := certificate(t, "localhost", -5*time.Hour, 2*time.Hour)
		pair, err := tls.LoadX509KeyPair(cert, key)
		must(t, err)
		address := serveTLS(t, l.Authority, func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })
		services := t.TempDir()
		write(t, filepath.Join(services, "team.yaml"), fmt.Sprintf("version: 1\nowner: test\nservices:\n"+
			"  ledger: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { bind: none }, user: mint, match: /ledger }\n", address))
		rows := look(t, func(o *doctor.Options) { o.Gateway.Services, o.Gateway.UpstreamCA = services, cert })
		broken(t, rows, want{"upstream", doctor.Warn, "ends in 2h0m0s", "renew the service's certificate"}, append(always(), "token-exchange", "certificate", "origin", "back-channel")...)
	})
	t.Run("and a service in the clear", func(t *testing.T) {
		services := t.TempDir()
		write(t, filepath.Join(services, "team.yaml"), "version: 1\nowner: test\nservices:\n"+
			"  orders: { upstream: \"http://192.0.2.1\", token: { bind: none }, user: mint, match: /orders }\n")
		rows := look(t, func(o *doctor.Options) { o.Gateway.Services, o.Timeout = services, 5*time.Second })
		broken(t, rows, want{"upstream", doctor.Fail, "what belongs to a user travels in the clear", "https"}, append(always(), "token-exchange")...)
	})
	t.Run("with an authority that this machine does not know", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) { o.Gateway.UpstreamCA = stack.NewAuthority(t).File })
		broken(t, rows, want{"certificate", doctor.Warn, "nobody whom this machine knows", "intermediate"}, append(always(), "origin", "back-channel")...)
	})
}

// certificate writes one that vouches for itself and counts from then to then, and returns the files.
func certificate(t *testing.T, host string, from, to time.Duration) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return certFile, keyFile
}
