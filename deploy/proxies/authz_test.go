package proxies_test

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// TestAuthRequest: an application that the gateway does not proxy is behind the same login, policy and CSRF check.
func TestAuthRequest(t *testing.T) {
	w := newWorld(t, 2, nil)
	t.Run("nginx", func(t *testing.T) { w.authRequest(t, w.nginx(t, "nginx-auth-request.conf").Addr, nil) })
	// What is not the application's is the gateways' there, and they say what it is not.
	t.Run("caddy", func(t *testing.T) {
		w.authRequest(t, w.caddy(t).Addr, map[string]int{"no service of that path": 404, "the way to ask": 404, "a parameter": 400})
	})
}

// authRequest asks through a proxy; other are the statuses that differ there.
func (w *world) authRequest(t *testing.T, proxy string, other map[string]int) {
	alice, bob, nobody := w.person(t, proxy).login("alice"), w.person(t, proxy).login("bob"), w.person(t, proxy)
	csrf := alice.CSRF()
	for name, c := range map[string]struct {
		who          *person
		method, path string
		also         string
		status       int
		code         string
	}{
		"allowed":                   {alice, "GET", "/wiki/1?a=b", "", 200, ""},
		"nobody":                    {nobody, "GET", "/wiki/1", "", 401, "login_required"},
		"not in the group":          {bob, "GET", "/wiki/1", "", 403, "policy_denied"},
		"denied":                    {alice, "GET", "/wiki/secret/1", "", 403, "policy_denied"},
		"another origin's page":     {alice, "GET", "/wiki/1", "Origin: https://evil.test", 403, "origin_not_allowed"},
		"without the CSRF token":    {alice, "POST", "/wiki/1", "", 403, "csrf_failed"},
		"with it":                   {alice, "POST", "/wiki/1", csrf, 200, ""},
		"a deletion":                {alice, "DELETE", "/wiki/1", "", 403, "csrf_failed"},
		"no service of that path":   {alice, "GET", "/other", "", 403, "route_unknown"},
		"the way to ask":            {alice, "GET", "/intercom-authz", "", 404, ""},
		"asking for others":         {alice, "GET", "/bff/authz", "X-Forwarded-Uri: /wiki/1", 403, "request_refused"},
		"another path than is":      {alice, "GET", "/wiki/secret/1", "X-Forwarded-Uri: /wiki/1", 403, "policy_denied"},
		"another method than is":    {alice, "POST", "/wiki/1", "X-Forwarded-Method: GET", 403, "csrf_failed"},
		"another host than is":      {nobody, "GET", "/wiki/1", "X-Forwarded-Host: evil.test", 401, "login_required"},
		"dots":                      {alice, "GET", "/wiki/1/%2e%2e/secret/1", "", 403, "request_refused"},
		"dots to the gateway's own": {nobody, "GET", "/wiki/%2e%2e/bff/session", "", 400, "request_refused"},
		"dots from there":           {nobody, "GET", "/bff/%2e%2e/wiki/1", "", 403, "request_refused"},
		"an encoded slash":          {alice, "GET", "/wiki/x%2f..%2fsecret/1", "", 403, "request_refused"},
		"a parameter":               {alice, "GET", "/wiki;x/secret/1", "", 403, "request_refused"},
	} {
		w.wiki.seen()
		c.status = cmp.Or(other[name], c.status)
		res := c.who.Fetch(c.method, c.path, c.also)
		if res.StatusCode != c.status || res.Code() != c.code && c.code != "" {
			t.Errorf("%s: %s %.200s", name, res.Status, res.Text)
		}
		if seen := w.wiki.seen(); (len(seen) > 0) != (c.status == http.StatusOK) {
			t.Errorf("%s: the application gets %q", name, seen)
		}
	}
	w.checkApplication(t, alice)
	w.checkClaims(t, alice)
	w.checkNavigation(t, nobody)
	w.checkPages(t, bob)
	w.checkEnds(t, alice)
}

// checkApplication: it learns nothing that it could be the user with, and cannot take the session away.
func (w *world) checkApplication(t *testing.T, alice *person) {
	t.Helper()
	got := gatewaytest.Said[arrived](t, alice.Fetch(http.MethodGet, "/wiki/steer", alice.CSRF(), "Authorization: Basic eDp4")).Header
	for _, name := range []string{"Cookie", "X-Csrf-Token", "Authorization"} {
		if got[name] != nil {
			t.Errorf("the application gets %s: %q", name, got[name])
		}
	}
	for name, value := range w.truth() {
		if got.Get(name) != value {
			t.Errorf("the application gets %s: %q", name, got[name])
		}
	}
	if len(got.Get("Intercom-Decision")) < 16 {
		t.Errorf("the application gets %v", got)
	}
	if !alice.State().Authenticated {
		t.Error("the application has replaced the session's cookie")
	}
}

// truth is what the application gets of where a request comes from.
func (w *world) truth() map[string]string {
	return map[string]string{"X-Forwarded-For": client, "X-Real-Ip": client, "X-Forwarded-Host": strings.TrimPrefix(w.Origin(), "https://"), "X-Forwarded-Proto": "https"}
}

// claims are what applications believe of who is asking, for what, and from where.
const claims = `X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token Remote-User Remote-Groups
	Remote-Email Remote-Name X-Remote-User X-Remote-Group X-Auth-User X-Auth-Request-User X-Auth-Request-Email X-User X-User-Id X-Authenticated-User
	X-Webauth-User X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Rewrite-URL X-Original-URL X-Original-URI X-Original-Method X-Original-Host
	X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Scheme X-Forwarded-Ssl X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-Server X-Forwarded-For
	X-Forwarded-Method X-Forwarded-Uri X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info Forwarded Via X-Real-IP
	X-Client-IP Client-IP True-Client-IP X-Cluster-Client-IP X-Originating-IP CF-Connecting-IP Fastly-Client-IP Front-End-Https X-Scheme X-Url-Scheme
	X-Script-Name X-Host X-Envoy-Original-Path X-Envoy-External-Address X-Envoy-Internal X-Authentik-Username X-Pomerium-Jwt-Assertion OIDC-Claim-Sub
	Oidc_claim_sub X_Forwarded_User Remote_User Sm-User Shib-Identity-Provider X-Consumer-Username X-Credential-Identifier X-Userinfo Impersonate-User
	Tailscale-User-Login Teleport-Jwt-Assertion Cf-Access-Authenticated-User-Email Cf-Access-Jwt-Assertion X-Amzn-Oidc-Identity X-Amzn-Oidc-Data
	X-Goog-Authenticated-User-Email X-Goog-Iap-Jwt-Assertion X-Ms-Client-Principal-Name X-Ssl-Client-Cert X-Ssl-Client-Cn Ssl-Client-Verify
	Ssl-Client-Subject-Dn Ssl-Client-Issuer-Dn Ssl-Client-Cert Ssl-Client-S-Dn X-Client-Cert X-Client-Dn Client-Cert Proxy X-Proxy-User Wl-Proxy-Client-Ip
	X-Accel-Mapping X-Token-Subject X-Appengine-User-Email Intercom-Decision X-Auth-Request-Redirect X-Arr-Ssl`

// checkClaims: whoever may read cannot be somebody else to the application, nor mean another thing than was judged. It is
// refused, or the application does not get it.
func (w *world) checkClaims(t *testing.T, alice *person) {
	t.Helper()
	refused := 0
	for _, name := range strings.Fields(claims) {
		res := alice.Fetch(http.MethodGet, "/wiki/1", name+": admin.evil.test")
		if res.StatusCode == http.StatusForbidden && res.Code() == "request_refused" {
			refused++
			continue
		}
		for at, values := range gatewaytest.Said[arrived](t, res).Header {
			if strings.Contains(strings.Join(values, " "), "evil") {
				t.Errorf("%s: the application gets %s: %q", name, at, values)
			}
		}
	}
	if refused < 40 {
		t.Errorf("%d are refused", refused)
	}
}

// checkPages: who opens a page that is not his to open is told so by a page, in his language.
func (w *world) checkPages(t *testing.T, bob *person) {
	t.Helper()
	for accept, want := range map[string]string{"": "No access", "en,de": "No access", "fr, de-AT;q=0.9, en;q=0.8": "Kein Zugriff", "fr, den, en, de": "No access"} {
		res := bob.Do(http.MethodGet, "/wiki/1", nil, gatewaytest.Navigation("Accept-Language: "+accept)...)
		if res.StatusCode != http.StatusForbidden || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") || !strings.Contains(res.Text, want) ||
			!strings.Contains(res.Text, "<code>policy_denied</code>") || res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%q: %s %v %s", accept, res.Status, res.Header, res.Text)
		}
	}
}

// checkNavigation: who opens a page is led to the login, and back to that very page.
func (w *world) checkNavigation(t *testing.T, nobody *person) {
	t.Helper()
	const page = "/wiki/a%20b?x=1&y=%2F"
	res := nobody.Navigate(page)
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusFound || !strings.HasPrefix(to.String(), w.Origin()+"/bff/login?") || to.Query().Get("return_to") != page {
		t.Fatalf("%s %q", res.Status, res.Header.Get("Location"))
	}
	begun := nobody.Navigate(to.RequestURI())
	back := nobody.IDP.Login(begun.Header.Get("Location"), "alice")
	if res := nobody.Navigate("/bff/callback?" + back.Encode()); res.Header.Get("Location") != page {
		t.Errorf("the way back: %s %q", res.Status, res.Header.Get("Location"))
	}
	if got := gatewaytest.Said[arrived](t, nobody.Navigate(page)); got.URI != page {
		t.Errorf("the application gets %s", got.URI)
	}
}

// checkEnds: a logout is over at once, from either side, and where nobody can say, nobody is let in or logged out.
func (w *world) checkEnds(t *testing.T, alice *person) {
	t.Helper()
	other := w.person(t, alice.at).login("alice")
	alice.logout()
	if res := alice.Fetch(http.MethodGet, "/wiki/1"); res.StatusCode != http.StatusUnauthorized || res.Code() != "session_revoked" && res.Code() != "login_required" {
		t.Errorf("after the logout: %s %s", res.Status, res.Text)
	}
	must(t, w.redis.Pause())
	gatewaytest.Eventually(t, "Redis counts as lost", func() bool { return other.Fetch(http.MethodGet, "/wiki/1").StatusCode != http.StatusOK })
	says := []string{"session_store_unavailable", "upstream_unavailable"} // the gateway, or who knows that none is ready
	if res := other.Fetch(http.MethodGet, "/wiki/1"); res.StatusCode != http.StatusServiceUnavailable || !slices.Contains(says, res.Code()) || res.Header.Get("Retry-After") == "" {
		t.Errorf("without Redis: %s %v %s", res.Status, res.Header, res.Text)
	}
	must(t, w.redis.Resume())
	gatewaytest.Eventually(t, "Redis is back", func() bool { return other.Fetch(http.MethodGet, "/wiki/1").StatusCode == http.StatusOK })
	w.IDP.EndSession(t.Context(), "alice")
	gatewaytest.Eventually(t, "a logout at the provider is seen", func() bool { return other.Fetch(http.MethodGet, "/wiki/1").StatusCode == http.StatusUnauthorized })
}
