package gateway_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/service"
)

// TestConformance has the statements of the contract that the assembly itself answers for.
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("OPS-1", testForwardedFor)
	t.Run("OPS-2", testProviderIsVerified)
	t.Run("OPS-3", testRefusals)
	t.Run("OPS-4", testOwnPages)
}

// testForwardedFor: who is slowed is who connects, and not who he says that he is, unless a proxy of ours says
// it. Forged logout tokens are what is counted by address.
func testForwardedFor(t *testing.T) {
	w := newWorld(t, options{})
	slowed := func(t *testing.T, trusted []gateway.Network, forwarded string) bool {
		n := len(w.Gateways)
		cfg := w.config(t)
		cfg.TrustedProxies = trusted
		w.Add(t, cfg)
		p := w.person(t, n)
		for i := range 40 {
			res := p.Do(http.MethodPost, "/bff/backchannel-logout", nil, "Content-Type: application/x-www-form-urlencoded",
				"X-Forwarded-For: "+strings.ReplaceAll(forwarded, "N", fmt.Sprint(i)), fmt.Sprintf("Forwarded: for=10.0.0.%d", i), fmt.Sprintf("X-Real-Ip: 10.0.0.%d", i))
			if res.StatusCode == http.StatusTooManyRequests {
				return true
			}
			if res.StatusCode != http.StatusBadRequest {
				t.Fatalf("%d %s", res.StatusCode, res.Text)
			}
		}
		return false
	}
	here := []gateway.Network{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	for name, c := range map[string]struct {
		trusted   []gateway.Network
		forwarded string
		want      bool
	}{
		"nobody is trusted by default":           {nil, "10.0.0.N", true},
		"a proxy of ours says who it was":        {here, "10.0.0.N", false},
		"what stands before is nobody's word":    {here, "10.0.0.N, 192.0.2.1", true},
		"through two proxies of ours":            {here, "10.0.0.N, 127.0.0.9", false},
		"another network is trusted":             {[]gateway.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}, "10.0.0.N", true},
		"what is no address is not believed":     {here, "N.example", true},
		"what is no address hides nobody before": {here, "10.0.0.N, unknown", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := slowed(t, c.trusted, c.forwarded); got != c.want {
				t.Errorf("slowed: %t", got)
			}
		})
	}
}

// testProviderIsVerified: a provider whose certificate nobody vouches for is one that does not answer.
func testProviderIsVerified(t *testing.T) {
	w := newWorld(t, options{})
	cfg := w.config(t)
	cfg.Provider.CA = w.Path("tls.pem") // a certificate, and not the provider's
	g := w.Run(t, cfg)
	gatewaytest.Eventually(t, "readyz names the provider", func() bool {
		status, text := g.Readyz(t)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "provider")
	})
	if res := w.person(t, 1).Navigate("/bff/login"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("login: %d %v", res.StatusCode, res.Header)
	}
	if n := len(w.IDP.Calls("/token")); n != 0 {
		t.Errorf("%d calls arrived", n)
	}
}

// testOwnPages: whatever we say ourselves cannot be framed, sniffed or mixed with plain http, and sends nobody's
// address on.
func testOwnPages(t *testing.T) {
	w := newWorld(t, options{})
	p := w.person(t, 0)
	for path, headers := range map[string][]string{
		"/bff/login":                     providertest.Navigate(),
		"/bff/login?by=fetch":            providertest.Fetch(w.Origin()),
		"/bff/callback?state=x":          providertest.Navigate(),
		"/bff/logout":                    providertest.Navigate(),
		"/bff/logout/return?state=x":     providertest.Navigate(),
		"/bff/backchannel-logout":        nil,
		"/bff/frontchannel-logout?sid=x": providertest.Navigate(),
		"/bff/nothing":                   providertest.Navigate(),
		"/bff/jwks":                      nil,
	} {
		res := p.Do(http.MethodGet, path, nil, headers...)
		h := res.Header
		if !strings.HasPrefix(h.Get("Strict-Transport-Security"), "max-age=") || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", path, res.StatusCode, h)
		}
	}
}

// TestRefusePlaintext: what a browser sends leaves this machine under TLS only.
func TestRefusePlaintext(t *testing.T) {
	for upstream, refused := range map[string]bool{
		"https://orders.test": false, "http://orders.test": true, "http://127.0.0.1:80": false, "http://orders.localhost": false,
		"http://10.0.0.1": true,
	} {
		text := "version: 1\nowner: t\nservices:\n  a: https://a\n  orders: { upstream: \"" + upstream + "\", token: { bind: none }, match: \"/orders/**\" }\n"
		c, err := service.Parse(map[string][]byte{"team.yaml": []byte(text)})
		must(t, err)
		s, _ := c.Get("orders")
		got := gateway.RefusePlaintext(s)
		if (got != nil) != refused {
			t.Errorf("%s: %v", upstream, got)
		}
		if refused && (got.Line != 5 || got.File != "team.yaml") {
			t.Errorf("%s: %v does not name the place", upstream, got)
		}
	}
}
