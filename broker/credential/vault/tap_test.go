package vault_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// tap stands between a Store and the real Vault: it counts requests, independently of our own metrics, and
// can answer in Vault's place.
type tap struct {
	*httptest.Server
	mu       sync.Mutex
	counts   map[string]int
	refused  map[string]int // by Vault itself
	answer   map[string]http.HandlerFunc
	headers  http.Header // of the latest request
	logins   string      // what counts as a login
	upstream http.Handler
}

func newTap(t *testing.T, f *fixture) *tap {
	t.Helper()
	to, err := url.Parse(f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(f.CACert)
	if err != nil && f.CACert != "" {
		t.Fatal(err)
	}
	config := &tls.Config{}
	if pem != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	tap := &tap{counts: map[string]int{}, refused: map[string]int{}, answer: map[string]http.HandlerFunc{}, logins: "auth/" + f.jwt + "/login"}
	tap.upstream = &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{TLSClientConfig: config},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode >= http.StatusBadRequest {
				tap.mu.Lock()
				defer tap.mu.Unlock()
				tap.refused[strings.TrimPrefix(r.Request.URL.Path, "/v1/")]++
			}
			return nil
		},
	}
	tap.Server = httptest.NewServer(tap)
	t.Cleanup(tap.Close)
	return tap
}

// ServeHTTP implements http.Handler.
func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	p.mu.Lock()
	p.counts[path]++
	answer := p.answer[path]
	p.headers = r.Header.Clone()
	p.mu.Unlock()
	if answer == nil {
		answer = p.upstream.ServeHTTP
	}
	answer(w, r)
}

// instead answers a path from now on; nil is Vault's own answer again.
func (p *tap) instead(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer[path] = h
}

func (p *tap) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[path]
}

func (p *tap) refusedBy(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[path]
}

func (p *tap) loginCount() int { return p.count(p.logins) }

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// token is the one that the latest request carried.
func (p *tap) token() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.headers.Get("X-Vault-Token")
}
