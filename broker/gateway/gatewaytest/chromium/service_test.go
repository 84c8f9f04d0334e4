package chromium_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// service is the application behind the gateway.
type service struct {
	*httptest.Server

	mu    sync.Mutex
	calls map[string]int // by method and path
}

func newService(t *testing.T) *service {
	s := &service{calls: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", html(appPage))
	mux.HandleFunc("GET /deep/{page}", html("<!doctype html><meta charset=utf-8><title>deep</title><h1 id=deep>A deep page</h1>"))
	mux.HandleFunc("GET /strong/page", html("<!doctype html><meta charset=utf-8><title>strong</title><h1>A better page</h1>"))
	mux.HandleFunc("GET /quiet", html(quietPage))
	mux.HandleFunc("GET /deep/unauthorized", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="deep"`) // for which Chromium would ask the person, and the page would wait
		w.WriteHeader(http.StatusUnauthorized)
	})
	ordered := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ordered") }
	mux.HandleFunc("POST /orders", ordered)
	mux.HandleFunc("POST /deep/orders", ordered)
	mux.HandleFunc("POST /deep/away", away)
	mux.HandleFunc("POST /deep/files", store)
	mux.HandleFunc("GET /deep/news", gatewaytest.ServeStream)
	mux.HandleFunc("GET /deep/socket", gatewaytest.ServeEcho)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[r.Method+" "+r.URL.Path]++
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// called returns how often a path was called.
func (s *service) called(method, path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method+" "+path]
}

// appPage shows who is logged in, and keeps what it hears of the session.
const appPage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>app</title>
<p id="who"></p><button id="login">Log in</button><button id="logout">Log out</button>
<script type="module">
  import * as intercom from '/bff/intercom.js'
  window.intercom = intercom
  window.heard = []
  const at = id => document.getElementById(id)
  const show = async () => {
    const s = await intercom.session()
    at('who').textContent = s.authenticated ? s.claims?.preferred_username ?? s.sub : 'nobody'
  }
  for (const event of ['ended', 'expiring', 'refreshed']) {
    intercom.on(event, detail => { heard.push({ event, at: Date.now(), ...detail }); show() })
  }
  at('login').onclick = () => intercom.login()
  at('logout').onclick = () => intercom.logout()
  show()
</script>
</html>`

// quietPage only listens.
const quietPage = `<!doctype html><html lang="en"><meta charset="utf-8"><title>quiet</title>
<script type="module">
  import * as intercom from '/bff/intercom.js'
  window.intercom = intercom
  window.heard = []
  for (const event of ['ended', 'refreshed']) intercom.on(event, detail => heard.push({ event, at: Date.now(), ...detail }))
</script>
</html>`

func html(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

// away redirects with the status that the query says, to where it says.
func away(w http.ResponseWriter, r *http.Request) {
	query, _ := url.QueryUnescape(r.URL.RawQuery)
	status, to, _ := strings.Cut(query, " ")
	n, _ := strconv.Atoi(status)
	http.Redirect(w, r, to, n)
}

// stored is what became of an upload.
type stored struct {
	Bytes int64  `json:"bytes"`
	Hash  string `json:"hash"`
}

func store(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		return
	}
	_ = json.NewEncoder(w).Encode(stored{n, hex.EncodeToString(h.Sum(nil))})
}
