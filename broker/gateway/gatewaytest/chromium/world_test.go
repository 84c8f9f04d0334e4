// Package chromium has tests only: people and scripts of every sort at a real Chromium, in front of whole gateways.
package chromium_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

// The names of a world. All but those of the foreign site are one site.
const (
	app    = "app." + stack.TestDomain
	icom   = "icom." + stack.TestDomain
	id     = "id." + stack.TestDomain
	portal = "portal." + stack.TestDomain
	evil   = "evil." + stack.TestDomain

	foreignID     = "id." + stack.ForeignDomain
	foreignPortal = "portal." + stack.ForeignDomain
	foreignEvil   = "evil." + stack.ForeignDomain
	mail          = "mail." + stack.ForeignDomain
)

const (
	policyCSV = "p, group:staff, call, service/deep/**, allow\np, group:staff, call, service/strong/**, allow\np, group:staff, call, service/small/**, allow\n"
	// pages are the application's, deep is what needs a login, strong what needs a better one, small what takes little.
	serviceFile = `  pages: { upstream: { url: "URL", dial: [127.0.0.0/8] }, token: { bind: none }, user: none, require: { login: false }, match: "/**" }
  deep: { upstream: { url: "URL", dial: [127.0.0.0/8] }, token: { bind: none }, user: none, match: "/deep/**", pass: { body_limit: 200MiB } }
  strong: { upstream: { url: "URL", dial: [127.0.0.0/8] }, token: { bind: none }, user: none, match: "/strong/**", require: { acr: ["2"] } }
  small: { upstream: { url: "URL", dial: [127.0.0.0/8] }, token: { bind: none }, user: none, match: "/small/**", pass: { body_limit: 1MiB } }
`
)

// options say what a world is made of; zero ones have the provider on the gateway's own site.
type options struct {
	// browser is where people sit; nil means the one that all tests share.
	browser *stack.ChromiumBrowser
	// provider is the name of the provider.
	provider string
	// keycloak is the provider in place of ours.
	keycloak *keycloak
	// change may change the gateway's configuration last.
	change func(*gateway.Config)
}

// world is a gateway with its application, its provider, and other people's pages.
type world struct {
	*gatewaytest.World
	browser *stack.ChromiumBrowser
	service *service
	idp     *provider
	pages   *site
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	if o.browser == nil {
		o.browser = stack.Chromium(t)
	}
	if o.provider == "" {
		o.provider = id
	}
	w := &world{browser: o.browser, service: newService(t)}
	w.pages = newSite(t, w.browser.Authority, portal, evil, foreignPortal, foreignEvil, mail)
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Hosts: []string{app, icom}, Authority: w.browser.Authority, Policy: policyCSV,
		Services: strings.ReplaceAll(serviceFile, "URL", w.service.URL),
		Provider: func(g *gatewaytest.World) gateway.Provider {
			if o.keycloak != nil {
				return o.keycloak.register(t, g)
			}
			w.idp = newProvider(t, g, o.provider)
			g.Write(t, "client-secret", "s3cret")
			return gateway.Provider{
				Issuer: w.idp.Issuer(), ClientID: "gateway", CA: g.Authority.File, Scopes: []string{"profile", "groups"}, Claims: []string{"name"},
				Secret: strict.Ref{Scheme: "file", Name: g.Path("client-secret")},
			}
		},
		Change: func(c *gateway.Config) {
			for i := range c.Origins {
				friends := []string{w.pages.origin(portal), w.pages.origin(foreignPortal)}
				c.Origins[i].CORS, c.Origins[i].Frames, c.Origins[i].ReturnTo = friends, friends, friends
			}
			if o.change != nil {
				o.change(c)
			}
		},
	})
	return w
}

// provider is the provider of package openid under a name.
type provider struct {
	*openid.Provider
	*httptest.Server

	down atomic.Bool                   // for the gateway; people still reach its pages
	left atomic.Pointer[chan struct{}] // logouts wait until it is closed
}

// holdLogout lets logouts wait until what it returns is closed.
func (p *provider) holdLogout() chan struct{} {
	left := make(chan struct{})
	p.left.Store(&left)
	return left
}

func newProvider(t *testing.T, g *gatewaytest.World, host string) *provider {
	t.Helper()
	p := &provider{}
	p.Server = serve(t, g.Authority, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() && strings.HasSuffix(r.URL.Path, openid.PathToken) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if left := p.left.Load(); left != nil && strings.HasSuffix(r.URL.Path, openid.PathLogout) {
			select {
			case <-*left:
			case <-r.Context().Done():
				return
			}
		}
		p.ServeHTTP(w, r)
	}), host)
	client := openid.Client{ID: "gateway", Secret: secret.FromString("s3cret"), Audiences: []string{gatewaytest.Audience}, BackchannelLogoutURI: g.Origin() + "/bff/backchannel-logout"}
	for _, o := range g.Origins {
		client.RedirectURIs = append(client.RedirectURIs, o+"/bff/callback")
		client.PostLogoutRedirectURIs = append(client.PostLogoutRedirectURIs, o+"/bff/logout/return")
	}
	var err error
	p.Provider, err = openid.New(openid.Config{
		Issuer: at(p.Server, host) + "/realms/demo", HTTP: &http.Client{Transport: g.Transport(t)}, Clients: []openid.Client{client},
	})
	must(t, err)
	return p
}

// site is pages of other people, by host and path. Those that are not there are empty.
type site struct {
	*httptest.Server

	mu   sync.Mutex
	html map[string]string
}

func newSite(t *testing.T, a *stack.Authority, hosts ...string) *site {
	t.Helper()
	s := &site{html: map[string]string{}}
	s.Server = serve(t, a, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(s.html[host+r.URL.Path]))
	}), hosts...)
	return s
}

// origin is one of the hosts'.
func (s *site) origin(host string) string { return at(s.Server, host) }

// put writes a page, and returns its address.
func (s *site) put(host, path, html string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.html[host+path] = "<!doctype html><meta charset=utf-8><title>" + host + "</title>\n" + html
	return s.origin(host) + path
}

// serve serves https under names that the authority vouches for.
func serve(t *testing.T, a *stack.Authority, h http.Handler, hosts ...string) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	must(t, a.Issue(dir+"/cert.pem", dir+"/key.pem", hosts...))
	pair, err := tls.LoadX509KeyPair(dir+"/cert.pem", dir+"/key.pem")
	must(t, err)
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func at(s *httptest.Server, host string) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "https://" + host + ":" + port
}

// soon is the contract's, on a machine that is shared.
func soon() time.Duration {
	if os.Getenv("CI") == "true" {
		return 5 * time.Second
	}
	return time.Second
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
