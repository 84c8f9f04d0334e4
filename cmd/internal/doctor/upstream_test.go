package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// authoritiesOf are those of a trust domain.
func authoritiesOf(d *embedded.Domain) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range d.Bundle().X509Authorities() {
		pool.AddCert(c)
	}
	return pool
}

// TestBoundServices: a service whose tokens are bound to our certificate is shown it, as it is when it is called; one that does
// not take it is named, whenever in the handshake it says so.
func TestBoundServices(t *testing.T) {
	l := startLesser(t, nil)
	stranger, err := embedded.New(embedded.Config{})
	must(t, err)
	look := func(t *testing.T, socket string, change func(*tls.Config)) []doctor.Row {
		t.Helper()
		address := serveTLS(t, l.Authority, func(c *tls.Config) {
			c.ClientAuth = tls.RequireAndVerifyClientCert
			change(c)
		})
		dir := t.TempDir()
		write(t, filepath.Join(dir, "team.yaml"), fmt.Sprintf("version: 1\nowner: test\nservices:\n"+
			"  ledger: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { bind: svid }, user: mint, match: /ledger }\n", address))
		c := l.Gateways[0].Config
		c.UpstreamCA, c.Services = l.Authority.File, dir
		if socket != "" {
			c.Identity.Socket = socket
		}
		return doctor.Examine(t.Context(), doctor.Options{Gateway: &c, GatewayFile: "gateway.yaml", Timeout: patient})
	}
	also := []string{"same-site", "token-exchange"}
	for name, c := range map[string]struct {
		version uint16
		trusts  *embedded.Domain
		want    want
	}{
		"TLS 1.2":                          {tls.VersionTLS12, l.Broker.Domain, want{"upstream", doctor.OK, "1 upstream", ""}},
		"TLS 1.3":                          {tls.VersionTLS13, l.Broker.Domain, want{"upstream", doctor.OK, "1 upstream", ""}},
		"TLS 1.2, of another trust domain": {tls.VersionTLS12, stranger, want{"upstream", doctor.Fail, "does not take our SVID", "trust domain"}},
		"TLS 1.3, of another trust domain": {tls.VersionTLS13, stranger, want{"upstream", doctor.Fail, "does not take our SVID", "trust domain"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows := look(t, "", func(s *tls.Config) { s.MaxVersion, s.ClientCAs = c.version, authoritiesOf(c.trusts) })
			broken(t, rows, c.want, also...)
		})
	}
	t.Run("without an SVID", func(t *testing.T) {
		rows := look(t, "unix:///nowhere.sock", func(s *tls.Config) { s.ClientCAs = authoritiesOf(l.Broker.Domain) })
		broken(t, rows, want{"upstream", doctor.Skip, "ledger", ""}, append(also, "identity", "policy", "brokers")...)
	})
}

// TestAskedAbout: a service that a proxy only asks about need not be where its file says, and one that is called has to.
func TestAskedAbout(t *testing.T) {
	l := startLesser(t, nil)
	stranger := serveTLS(t, stack.NewAuthority(t), func(*tls.Config) {})
	for name, c := range map[string]struct {
		wiki    string
		proxies []gateway.Network
		want    want
	}{
		"nobody there":                      {`{ upstream: "https://127.0.0.1:9", token: { bind: none }, user: none, match: "/**" }`, make([]gateway.Network, 1), want{"upstream", doctor.Warn, "wiki 127.0.0.1:9", "/bff/authz"}},
		"somebody else there":               {fmt.Sprintf(`{ upstream: %q, token: { bind: none }, user: none, match: "/**" }`, stranger), make([]gateway.Network, 1), want{"upstream", doctor.Warn, "wiki localhost", "/bff/authz"}},
		"nobody may ask":                    {`{ upstream: "https://127.0.0.1:9", token: { bind: none }, user: none, match: "/**" }`, nil, want{"upstream", doctor.Fail, "wiki 127.0.0.1:9", "start the service"}},
		"it gets the user, so it is called": {`{ upstream: "https://127.0.0.1:9", token: { bind: none }, match: "/**" }`, make([]gateway.Network, 1), want{"upstream", doctor.Fail, "wiki 127.0.0.1:9", "start the service"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, g := t.TempDir(), l.Gateways[0].Config
			write(t, filepath.Join(dir, "team.yaml"), "version: 1\nowner: test\nservices:\n  wiki: "+c.wiki+"\n")
			g.Services, g.UpstreamCA, g.TrustedProxies = dir, l.Authority.File, c.proxies
			rows := doctor.Examine(t.Context(), doctor.Options{Gateway: &g, GatewayFile: "gateway.yaml", Timeout: patient})
			broken(t, rows, c.want, "same-site", "token-exchange")
			for _, r := range rows {
				if r.Check == "upstream" && r.Status == doctor.Fail && c.want.status != doctor.Fail {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// TestAskedAboutByABroker: a broker's file alone does not say whether a proxy only asks the gateways about a service.
func TestAskedAboutByABroker(t *testing.T) {
	l := startLesser(t, nil)
	for name, c := range map[string]struct {
		wiki string
		want want
	}{
		"perhaps": {`token: { bind: none }, user: none, match: "/**"`, want{"upstream", doctor.Warn, "wiki 127.0.0.1:9", "/bff/authz"}},
		"it has a credential put in, so it is called": {`inject: { basic: { credential: wiki/login } }, user: none, match: "/**"`, want{"upstream", doctor.Fail, "wiki 127.0.0.1:9", "start the service"}},
		"no browser knows it":                         {"token: { bind: none }", want{"upstream", doctor.Fail, "wiki 127.0.0.1:9", "start the service"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "team.yaml"), "version: 1\nowner: test\nservices:\n  wiki: { upstream: \"https://127.0.0.1:9\", "+c.wiki+" }\n")
			b := broker.Config{Version: 1, Identity: broker.Identity{Socket: "unix://" + l.Broker.Dir + "/b.sock"}, UpstreamCA: l.Authority.File, Services: dir}
			broken(t, doctor.Examine(t.Context(), doctor.Options{Broker: &b, BrokerFile: "broker.yaml", Timeout: patient}), c.want)
		})
	}
}
