package gateway_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/strict"
)

// TestCertificateIsReadAgain: a new certificate is shown to the next connection.
func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	shown := func() string {
		conn, err := tls.Dial("tcp", w.Gateways[0].Front, &tls.Config{RootCAs: w.Authority.Pool(), ServerName: host})
		must(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := shown()
	must(t, w.Authority.Issue(w.Path("tls.pem"), w.Path("tls.key"), host))
	gatewaytest.Eventually(t, "another certificate is shown", func() bool { return shown() != before })
}

// TestOldTLS: nobody speaks to us in what was broken years ago (RFC 9325, section 3.1.1).
func TestOldTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	conn, err := tls.Dial("tcp", w.Gateways[0].Front, &tls.Config{RootCAs: w.Authority.Pool(), ServerName: host, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

// TestPolicyOfNobody: a broker that does not let us read the policy leaves us not ready, and says why.
func TestPolicyOfNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.edit(t, policyFile, "/gateway, admin", "/other, admin")
	cfg := w.config(t)
	gatewaytest.Eventually(t, "a new gateway is refused the policy", func() bool {
		g := w.Run(t, cfg)
		status, text := g.Readyz(t)
		g.Stop(t)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "policy")
	})
}

// TestNewRefuses: what only a flag can allow, and what is taken.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	base := w.config(t)
	for want, change := range map[string]func(*gateway.Config){
		"listen.admin":                     func(c *gateway.Config) { c.Listen.Admin = "0.0.0.0:0" },
		"--unsafe-plaintext":               func(c *gateway.Config) { c.Listen.Cert, c.Listen.Key = "", "" },
		"and not both":                     func(c *gateway.Config) { c.Unsafe.Plaintext = true },
		"listen.address":                   func(c *gateway.Config) { c.Listen.Address = w.Gateways[0].Front },
		"exactly one of memory and redis":  func(c *gateway.Config) { c.Sessions.Memory = false },
		"no such file":                     func(c *gateway.Config) { c.Services = w.Path("nothing") },
		"provider.ca":                      func(c *gateway.Config) { c.Provider.CA = w.Path("sealing") },
		"is the host of no origin":         func(c *gateway.Config) { c.Services = w.services2(t, `{ host: "other.test", path: "/x" }`) },
		"travel in the clear":              func(c *gateway.Config) { c.Services = w.services2(t, `"/x"`) },
		"theme: open " + w.Path("nowhere"): func(c *gateway.Config) { c.Theme = w.Path("nowhere") },
		"provider.secret: read " + w.Dir:   func(c *gateway.Config) { c.Provider.Secret = strict.Ref{Scheme: "file", Name: w.Dir} },
		"audit.dir: ":                      func(c *gateway.Config) { c.Audit.Dir = w.Path("sealing") },
		"says that it is":                  func(c *gateway.Config) { c.Provider.Issuer += "/" },
	} {
		cfg := base
		change(&cfg)
		if _, err := gateway.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// services2 writes service files with one that browsers reach over plain http.
func (w *world) services2(t *testing.T, match string) string {
	t.Helper()
	dir := w.Path("services2")
	must(t, os.MkdirAll(dir, 0o700))
	text := "version: 1\nowner: t\nservices:\n  a: { upstream: \"http://a.test\", token: { bind: none }, match: " + match + " }\n"
	must(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o600))
	return dir
}

// TestDrain: a login that is under way when the gateway is asked to end still ends well, and meanwhile /readyz says
// that nobody else should come.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice, g := w.person(t, 0), w.Gateways[0]
	begun := alice.Navigate("/bff/login")
	back := alice.IDP.Login(begun.Header.Get("Location"), "alice")
	release := make(chan struct{})
	w.IDP.Break(openid.PathToken, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
				next.ServeHTTP(rw, r)
			case <-r.Context().Done():
			}
		})
	})
	answered := make(chan gatewaytest.Answer, 1)
	go func() { answered <- alice.Navigate("/bff/callback?" + back.Encode()) }()
	gatewaytest.Eventually(t, "the code is being redeemed", func() bool { return len(w.IDP.Calls(openid.PathToken)) > 0 })
	g.Leave()
	gatewaytest.Eventually(t, "readyz says that the gateway is going", func() bool {
		status, text := g.Readyz(t)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "closing")
	})
	close(release)
	if res := <-answered; res.StatusCode != http.StatusSeeOther || alice.Session() == "" {
		t.Errorf("the login in flight: %d %s", res.StatusCode, res.Text)
	}
	g.Stop(t)
}

// TestSecretsAreLeased: a secret may be a credential of the store's, which a broker leases to the gateway.
func TestSecretsAreLeased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{change: func(c *gateway.Config) {
		c.Provider.Secret = strict.Ref{Scheme: "vault", Name: "gateway/client", Field: "secret"}
	}})
	w.person(t, 0).Login("alice")
	cfg := w.config(t)
	cfg.Provider.Secret.Field = "other"
	w.Add(t, cfg)
	eve := w.person(t, 1)
	back := eve.IDP.Login(eve.Navigate("/bff/login").Header.Get("Location"), "alice")
	if res := eve.Navigate("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusServiceUnavailable || eve.Session() != "" {
		t.Errorf("without its secret the gateway answers %d", res.StatusCode)
	}
}

// TestNewRefusesServices that it could never serve.
func TestNewRefusesServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	base := w.config(t)
	for want, change := range map[string]func(*gateway.Config){
		"does not say brokers.audience": func(c *gateway.Config) { c.Brokers.Audience = "" },
		"has no brokers.egress": func(c *gateway.Config) {
			c.Services, c.Brokers.Egress = w.Path("injected"), nil
			must(t, os.MkdirAll(c.Services, 0o700))
			w.Write(t, "injected/a.yaml", "version: 1\nowner: t\nservices:\n  crm: { upstream: \"https://crm.test\", inject: { basic: { credential: c } }, match: /crm }\n")
		},
	} {
		cfg := base
		change(&cfg)
		if _, err := gateway.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
