package localapi_test

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/mtls"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
	"github.com/intercom-broker/intercom/sidecar/localapi"
)

func hello(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "hello") }

// known waits until the door knows the service.
func (w *world) known(services ...*intercomv1.Service) {
	w.t.Helper()
	w.broker.set(services...)
	eventually(w.t, "the services are known", func() bool {
		_, body := w.get("/nothing-of-that-name/", nil)
		return strings.Contains(body, "there are ") && strings.Contains(body, services[0].GetName())
	})
}

func TestUpstreamSVID(t *testing.T) {
	partner, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("partner.test")})
	must(t, err)
	ours := spiffeid.RequireTrustDomainFromString("intercom.test")
	ledger := spiffeid.RequireFromPath(ours, "/ledger")
	for name, test := range map[string]struct {
		upstreams localapi.Upstreams
		foreign   bool // the service is the partner's
		ok        bool
	}{
		"our own domain":                 {localapi.Upstreams{}, false, true},
		"the very ID":                    {localapi.Upstreams{IDs: map[string]spiffeid.ID{"ledger": ledger}}, false, true},
		"another ID":                     {localapi.Upstreams{IDs: map[string]spiffeid.ID{"ledger": spiffeid.RequireFromPath(ours, "/other")}}, false, false},
		"another service's ID":           {localapi.Upstreams{IDs: map[string]spiffeid.ID{"crm": ledger}}, false, true},
		"federated, not allowed":         {localapi.Upstreams{}, true, false},
		"federated, allowed":             {localapi.Upstreams{TrustDomains: []spiffeid.TrustDomain{partner.Name()}}, true, true},
		"federated, by its ID":           {localapi.Upstreams{IDs: map[string]spiffeid.ID{"ledger": partner.ID("/ledger")}}, true, true},
		"our own, when another is named": {localapi.Upstreams{TrustDomains: []spiffeid.TrustDomain{partner.Name()}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{api: localapi.Config{Upstreams: test.upstreams}})
			w.domain.Federate(partner)
			partner.Federate(w.domain)
			owner := w.domain
			if test.foreign {
				owner = partner
			}
			address := serveAs(t, owner, w.domain, "/ledger", http.HandlerFunc(hello))
			w.known(tokenService("ledger", "https://"+address, bound))
			resp, body := w.get("/ledger/", nil)
			if test.ok && body != "hello" {
				t.Errorf("%s %s", resp.Status, body)
			} else if !test.ok {
				problem(t, resp, body, http.StatusServiceUnavailable, "UPSTREAM_UNTRUSTED")
			}
		})
	}
}

// serveAs serves h with an SVID of one domain to callers of another.
func serveAs(t *testing.T, owner, callers *embedded.Domain, path string, h http.Handler) string {
	t.Helper()
	p := listen(t)
	src := owner.Source(owner.ID(path))
	l := mtls.ListenHTTP(p, mtls.Config{TLS: mtls.Server(src, src, mtls.AllowDomains(callers.Name()), "h2", "http/1.1")})
	go func() { _ = mtls.ServeHTTP(t.Context(), p, l, &http.Server{Handler: h}, 0) }()
	return p.Addr().String()
}

// TestUpstreamOrdinaryCertificate: httptest's certificate is for 127.0.0.1 and example.com.
func TestUpstreamOrdinaryCertificate(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(hello))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	other := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	named := map[string]spiffeid.ID{"shop": spiffeid.RequireFromString("spiffe://intercom.test/shop")}
	for name, test := range map[string]struct {
		upstreams localapi.Upstreams
		url       string
		ok        bool
	}{
		"of a known authority":        {localapi.Upstreams{RootCAs: roots}, srv.URL, true},
		"of an unknown authority":     {localapi.Upstreams{}, srv.URL, false},
		"for another host":            {localapi.Upstreams{RootCAs: roots}, other, false},
		"where a SPIFFE ID is wanted": {localapi.Upstreams{RootCAs: roots, IDs: named}, srv.URL, false},
	} {
		for _, bind := range []intercomv1.Bind{bearer, bound} {
			t.Run(name+" "+bind.String(), func(t *testing.T) {
				w := newWorld(t, setup{api: localapi.Config{Upstreams: test.upstreams}}, tokenService("shop", test.url, bind))
				resp, body := w.get("/shop/", nil)
				if test.ok && body != "hello" {
					t.Errorf("%s %s", resp.Status, body)
				} else if !test.ok {
					problem(t, resp, body, http.StatusServiceUnavailable, "UPSTREAM_UNTRUSTED")
				}
			})
		}
	}
}

func TestUpstreamDialGuard(t *testing.T) {
	w := newWorld(t, setup{})
	address := w.serveSVID("/ledger", http.HandlerFunc(hello))
	open := plain(t, http.HandlerFunc(hello))
	for _, spec := range []*intercomv1.Service{
		tokenService("guarded", open, bearer), tokenService("guarded", "https://"+address, bound),
		tokenService("guarded", strings.Replace(open, "127.0.0.1", "localhost", 1), bearer),
	} {
		spec.Dial = []string{"10.0.0.0/8"}
		w.broker.minted.Store(0)
		w.known(spec)
		resp, body := w.get("/guarded/", nil)
		problem(t, resp, body, http.StatusForbidden, "DIAL_GUARD")
		if !strings.Contains(body, "dial: [") {
			t.Errorf("no cure: %s", body)
		}
	}
}

func TestUpstreamIsAway(t *testing.T) {
	bad := tokenService("bad", "ftp://127.0.0.1", bearer)
	w := newWorld(t, setup{}, tokenService("away", "http://127.0.0.1:1/?secret", bearer), bad)
	resp, body := w.get("/away/", nil)
	problem(t, resp, body, http.StatusServiceUnavailable, "UPSTREAM_UNREACHABLE")
	if strings.Contains(body, "secret") {
		t.Errorf("the URL's query is told: %s", body)
	}
	resp, body = w.get("/bad/", nil)
	problem(t, resp, body, http.StatusInternalServerError, "BAD_ENTRY")
}
