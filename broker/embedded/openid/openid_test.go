package openid_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
)

const (
	home     = "https://app.example.test/callback"
	gone     = "https://app.example.test/gone"
	exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// world is a provider with one client, and the clock.
type world struct {
	*providertest.Server
	t *testing.T

	mu    sync.Mutex
	ahead time.Duration
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

func newWorld(t *testing.T, change func(*openid.Config)) *world {
	t.Helper()
	w := &world{t: t}
	cfg := openid.Config{
		Now: w.now, Resources: []string{"ledger"},
		Clients: []openid.Client{
			{ID: "app", Secret: secret.FromString("s"), RedirectURIs: []string{home}, PostLogoutRedirectURIs: []string{gone}, Audiences: []string{"api", "other"}},
			{ID: "api", Secret: secret.FromString("s"), Audiences: []string{"ledger"}},
			{ID: "third", Secret: secret.FromString("s"), Audiences: []string{"api"}},
			{ID: "off", Secret: secret.FromString("s"), NoExchange: true},
		},
	}
	if change != nil {
		change(&cfg)
	}
	w.Server = providertest.New(t, cfg)
	return w
}

const verifier = "a-verifier-of-forty-three-characters-or-more-"

func (w *world) address(more ...string) string {
	q := url.Values{
		"client_id": {"app"}, "redirect_uri": {home}, "response_type": {"code"}, "scope": {"openid groups"}, "state": {"st"}, "nonce": {"n"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
		if more[i+1] == "" {
			q.Del(more[i])
		}
	}
	return w.URL(openid.PathAuthorize) + "?" + q.Encode()
}

// post sends a form as a client, and returns the status and the answer.
func (w *world) post(client, endpoint string, form url.Values) (int, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, w.URL(endpoint), strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, "s")
	resp, err := w.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body := map[string]any{}
	if data, err := io.ReadAll(resp.Body); err != nil || len(data) > 0 && json.Unmarshal(data, &body) != nil {
		w.t.Fatalf("%s answered %q (%v)", endpoint, data, err)
	}
	return resp.StatusCode, body
}

func (w *world) code(code string) (int, map[string]any) {
	return w.post("app", openid.PathToken, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {home}, "code_verifier": {verifier}})
}

func (w *world) refresh(token any) (int, map[string]any) {
	return w.post("app", openid.PathToken, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.(string)}})
}

func (w *world) login(b *providertest.Browser) map[string]any {
	w.t.Helper()
	status, tokens := w.code(b.Login(w.address(), "alice").Get("code"))
	if status != http.StatusOK {
		w.t.Fatalf("%d %v", status, tokens)
	}
	return tokens
}

func said(status int, body map[string]any) string {
	return strings.TrimSpace(http.StatusText(status) + " " + text(body["error"]) + " " + text(body["error_description"]))
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func TestLogin(t *testing.T) {
	w := newWorld(t, nil)
	b := w.Browser(t)
	back := b.Login(w.address(), "alice")
	if back.Get("iss") != w.Issuer() || back.Get("state") != "st" || back.Get("session_state") == "" {
		t.Errorf("sent back with %v", back)
	}
	_, tokens := w.code(back.Get("code"))
	for name, want := range map[string]any{"token_type": "Bearer", "expires_in": 300.0, "refresh_expires_in": 1800.0, "session_state": back.Get("session_state")} {
		if tokens[name] != want {
			t.Errorf("%s is %v, want %v", name, tokens[name], want)
		}
	}
	if again := b.Visit(w.address("prompt", "none")); again.Get("code") == "" || again.Get("session_state") != back.Get("session_state") {
		t.Errorf("the second time: %v", again)
	}
	for name, c := range map[string]struct {
		more []string
		want string
	}{
		"plain challenge":  {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"no challenge":     {[]string{"code_challenge", ""}, "invalid_request"},
		"implicit":         {[]string{"response_type", "token"}, "unsupported_response_type"},
		"fragment":         {[]string{"response_mode", "fragment"}, "invalid_request"},
		"no openid":        {[]string{"scope", "profile"}, "invalid_scope"},
		"unknown scope":    {[]string{"scope", "openid admin"}, "invalid_scope"},
		"none and login":   {[]string{"prompt", "none login"}, "invalid_request"},
		"too old":          {[]string{"prompt", "none", "max_age", "0"}, "login_required"},
		"not high enough":  {[]string{"prompt", "none", "acr_values", "2"}, "login_required"},
		"max_age of words": {[]string{"max_age", "soon"}, "invalid_request"},
	} {
		if got := b.Visit(w.address(c.more...)); got.Get("error") != c.want || got.Get("iss") != w.Issuer() || got.Has("code") {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, more := range [][]string{{"redirect_uri", "https://evil.example.test/"}, {"redirect_uri", home + "/"}, {"client_id", "nobody"}, {"request_uri", "urn:ietf:params:oauth:request_uri:x"}} {
		if page := b.Open(w.address(more...)); page.Status != http.StatusBadRequest || page.Location() != nil {
			t.Errorf("%q: %d, on to %v", more, page.Status, page.Location())
		}
	}
}

// TestPage is what can be said of a page without a person: labels, a viewport, nothing from elsewhere, no frame.
func TestPage(t *testing.T) {
	w := newWorld(t, nil)
	page := w.Browser(t).Open(w.address("login_hint", `"><script>`))
	for _, want := range []string{`name="viewport"`, `<label for="username">`, `<label for="password">`, `lang="en"`, "alice", "bob"} {
		if !strings.Contains(page.Text, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, bad := range []string{"<script", "src=", "<link", "http://"} {
		if strings.Contains(page.Text, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
}

func TestCodeIsGoodOnce(t *testing.T) {
	w := newWorld(t, nil)
	code := w.Browser(t).Login(w.address(), "alice").Get("code")
	_, tokens := w.code(code)
	if got := said(w.code(code)); got != "Bad Request invalid_grant Code not valid" {
		t.Error(got)
	}
	if got := said(w.refresh(tokens["refresh_token"])); got != "Bad Request invalid_grant Session doesn't have required client" {
		t.Errorf("what the first use gave lives on: %s", got)
	}
	code = w.Browser(t).Login(w.address(), "alice").Get("code")
	for name, form := range map[string]url.Values{
		"another verifier": {"redirect_uri": {home}, "code_verifier": {verifier + "x"}},
		"no verifier":      {"redirect_uri": {home}},
		"another redirect": {"redirect_uri": {gone}, "code_verifier": {verifier}},
	} {
		form.Set("grant_type", "authorization_code")
		form.Set("code", code)
		if status, body := w.post("app", openid.PathToken, form); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
	w.pass(2 * time.Minute)
	if status, _ := w.code(code); status != http.StatusBadRequest {
		t.Error("a code of two minutes ago is good")
	}
}

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t, nil)
	first := w.login(w.Browser(t))
	_, second := w.refresh(first["refresh_token"])
	if got := said(w.refresh(first["refresh_token"])); got != "Bad Request invalid_grant Maximum allowed refresh token reuse exceeded" {
		t.Error(got)
	}
	if got := said(w.refresh(second["refresh_token"])); got != "Bad Request invalid_grant Session doesn't have required client" {
		t.Errorf("after reuse the new one: %s", got)
	}
	if status, _ := w.userinfo(second["access_token"]); status != http.StatusUnauthorized {
		t.Errorf("after reuse the new access token: %d", status)
	}
	w = newWorld(t, func(c *openid.Config) { c.RefreshReuse = 1 })
	first = w.login(w.Browser(t))
	var got []int
	for range 3 {
		status, _ := w.refresh(first["refresh_token"])
		got = append(got, status)
	}
	if diff := cmp.Diff([]int{200, 200, 400}, got); diff != "" {
		t.Error(diff)
	}
	w = newWorld(t, func(c *openid.Config) { c.ReuseRefreshTokens = true })
	first = w.login(w.Browser(t))
	for range 3 {
		if status, again := w.refresh(first["refresh_token"]); status != 200 || again["refresh_token"] != first["refresh_token"] {
			t.Errorf("without rotation: %d", status)
		}
	}
}

func (w *world) userinfo(token any) (int, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, w.URL(openid.PathUserinfo), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.(string))
	resp, err := w.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, body
}

// TestSessionEnds in each of the ways that it can, and says so to who refreshes.
func TestSessionEnds(t *testing.T) {
	w := newWorld(t, func(c *openid.Config) { c.SessionMax = time.Hour })
	b := w.Browser(t)
	tokens := w.login(b)
	w.pass(29 * time.Minute)
	status, tokens := w.refresh(tokens["refresh_token"])
	if status != 200 {
		t.Fatal(tokens)
	}
	w.pass(20 * time.Minute)
	if _, tokens = w.refresh(tokens["refresh_token"]); tokens["refresh_expires_in"].(float64) > 11*60 {
		t.Errorf("a session of at most an hour refreshes for %v s more after 49 min", tokens["refresh_expires_in"])
	}
	w.pass(12 * time.Minute)
	if got := said(w.refresh(tokens["refresh_token"])); got != "Bad Request invalid_grant Token is not active" {
		t.Errorf("after an hour: %s", got)
	}
	if got := b.Visit(w.address("prompt", "none")); got.Get("error") != "login_required" {
		t.Errorf("after an hour: %v", got)
	}
	tokens = w.login(b)
	w.DisableUser("alice")
	if got := said(w.refresh(tokens["refresh_token"])); got != "Bad Request invalid_grant User disabled" {
		t.Error(got)
	}
	w.EnableUser("alice")
	if n := w.EndSession(t.Context(), "alice"); n != 1 {
		t.Errorf("%d sessions were ended", n)
	}
	if got := said(w.refresh(tokens["refresh_token"])); got != "Bad Request invalid_grant Session not active" {
		t.Error(got)
	}
}

// TestExchange has the refusals in Keycloak's words.
func TestExchange(t *testing.T) {
	w := newWorld(t, nil)
	tokens := w.login(w.Browser(t))
	ask := func(client string, more ...string) (int, map[string]any) {
		form := url.Values{"grant_type": {exchange}, "subject_token": {text(tokens["access_token"])}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}
		for i := 0; i+1 < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return w.post(client, openid.PathToken, form)
	}
	for _, c := range []struct {
		client string
		more   []string
		want   string
	}{
		{"app", []string{"audience", "api"}, "OK"},
		{"api", []string{"audience", "ledger"}, "OK"}, // it is in the token's aud
		{"app", []string{"audience", "ledger"}, "Bad Request invalid_request Requested audience not available: ledger"},
		{"app", []string{"audience", "nobody"}, "Bad Request invalid_client Audience not found"},
		{"third", []string{"audience", "api"}, "Forbidden access_denied Client is not within the token audience"},
		{"off", []string{"audience", "api"}, "Bad Request invalid_request Standard token exchange is not enabled for the requested client"},
		{"app", []string{"subject_token", "x"}, "Bad Request invalid_request Invalid token"},
		{"app", []string{"subject_token", text(tokens["id_token"])}, "Bad Request invalid_request Invalid token"},
		{"app", []string{"scope", "admin"}, "Bad Request invalid_scope Invalid scopes: admin"},
	} {
		if got := said(ask(c.client, c.more...)); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.client, c.more, got, c.want)
		}
	}
	w.EndSession(t.Context(), "alice")
	if got := said(ask("app", "audience", "api")); got != "Bad Request invalid_request Invalid token" {
		t.Errorf("after the session's end: %s", got)
	}
}

func TestIntrospectionAndRevocation(t *testing.T) {
	w := newWorld(t, nil)
	tokens := w.login(w.Browser(t))
	form := url.Values{"token": {text(tokens["access_token"])}}
	if _, got := w.post("api", openid.PathIntrospect, form); got["active"] != true || got["sub"] != "alice" {
		t.Errorf("in aud: %v", got)
	}
	if _, got := w.post("app", openid.PathIntrospect, form); got["active"] != false || len(got) != 1 {
		t.Errorf("not in aud: %v", got)
	}
	if status, got := w.userinfo(tokens["access_token"]); status != 200 || got["sub"] != "alice" || !cmp.Equal(got["groups"], []any{"staff"}) {
		t.Errorf("userinfo: %d %v", status, got)
	}
	if status, _ := w.post("api", openid.PathRevoke, url.Values{"token": {text(tokens["refresh_token"])}}); status != 200 {
		t.Errorf("another's token: %d", status)
	}
	if status, got := w.refresh(tokens["refresh_token"]); status != 200 {
		t.Errorf("another client revoked it: %v", got)
	}
	if status, _ := w.post("app", openid.PathRevoke, form); status != 200 {
		t.Errorf("revoke: %d", status)
	}
	if _, got := w.post("api", openid.PathIntrospect, form); got["active"] != false {
		t.Errorf("revoked: %v", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL(openid.PathToken), strings.NewReader("grant_type=refresh_token"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("app", "wrong")
	resp, err := w.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != 401 || body["error"] != "unauthorized_client" {
		t.Errorf("a wrong secret: %s %v (%v)", resp.Status, body, err)
	}
}

// TestLogout: who asked knows, every client hears of it, one that does not answer holds nobody for long.
func TestLogout(t *testing.T) {
	var mu sync.Mutex
	var heard []string
	listen := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, r.PostFormValue("logout_token"))
		rw.WriteHeader(http.StatusNotImplemented) // the logout goes on
	}))
	defer listen.Close()
	w := newWorld(t, func(c *openid.Config) { c.Clients[0].BackchannelLogoutURI = listen.URL })
	b := w.Browser(t)
	tokens := w.login(b)
	if page := b.Open(w.URL(openid.PathLogout)); page.Status != 200 || !strings.Contains(page.Text, "Do you want to log out?") {
		t.Errorf("without a hint: %d", page.Status)
	}
	if got := b.Visit(w.address("prompt", "none")); got.Get("code") == "" {
		t.Errorf("asking is no answer: %v", got)
	}
	q := url.Values{"id_token_hint": {text(tokens["id_token"])}, "post_logout_redirect_uri": {"https://evil.example.test"}}
	if page := b.Open(w.URL(openid.PathLogout) + "?" + q.Encode()); page.Status != http.StatusBadRequest {
		t.Errorf("an address that is not registered: %d", page.Status)
	}
	q.Set("post_logout_redirect_uri", gone)
	q.Set("state", "x")
	page := b.Open(w.URL(openid.PathLogout) + "?" + q.Encode())
	if page.Status != http.StatusFound || page.Header.Get("Location") != gone+"?state=x" {
		t.Errorf("%d, on to %v", page.Status, page.Location())
	}
	mu.Lock()
	defer mu.Unlock()
	if len(heard) != 1 || strings.Count(heard[0], ".") != 2 {
		t.Errorf("heard %q", heard)
	}
	if got := b.Visit(w.address("prompt", "none")); got.Get("error") != "login_required" {
		t.Errorf("after the logout: %v", got)
	}
	if page = b.Open(w.URL(openid.PathLogout) + "?" + q.Encode()); page.Status != http.StatusFound || len(heard) != 1 {
		t.Errorf("the second time: %d, heard %d times", page.Status, len(heard))
	}
}

func TestFrontChannelLogout(t *testing.T) {
	w := newWorld(t, func(c *openid.Config) { c.Clients[0].FrontchannelLogoutURI = "https://app.example.test/front?x=1" })
	b := w.Browser(t)
	tokens := w.login(b)
	q := url.Values{"id_token_hint": {text(tokens["id_token"])}, "post_logout_redirect_uri": {gone}}
	page := b.Open(w.URL(openid.PathLogout) + "?" + q.Encode())
	csp := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(page.Text, "sid="+text(tokens["session_state"])) || !strings.Contains(page.Text, `href="`+gone+`"`) ||
		!strings.Contains(csp, "frame-src https://app.example.test") {
		t.Errorf("%s\n%s", csp, page.Text)
	}
}

// TestKeysRotate: old keys verify until they are retired, also for a hint.
func TestKeysRotate(t *testing.T) {
	w := newWorld(t, nil)
	b := w.Browser(t)
	tokens := w.login(b)
	if err := w.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	if n := len(w.JWKS().Keys); n != 2 {
		t.Errorf("%d keys", n)
	}
	if status, _ := w.userinfo(tokens["access_token"]); status != 200 {
		t.Errorf("signed by the old key: %d", status)
	}
	w.RetireKeys()
	if status, _ := w.userinfo(tokens["access_token"]); status != http.StatusUnauthorized {
		t.Errorf("signed by a retired key: %d", status)
	}
	for _, key := range w.JWKS().Keys {
		if !key.IsPublic() {
			t.Error("a private key is public")
		}
	}
}

// TestConcurrentRefresh: of many at once one wins, and its tokens die with the reuse, as measured at Keycloak.
func TestConcurrentRefresh(t *testing.T) {
	w := newWorld(t, nil)
	tokens := w.login(w.Browser(t))
	var wg sync.WaitGroup
	statuses := make(chan int, 4)
	for range 4 {
		wg.Go(func() {
			status, _ := w.refresh(tokens["refresh_token"])
			statuses <- status
		})
	}
	wg.Wait()
	close(statuses)
	var got []int
	for status := range statuses {
		got = append(got, status)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]int{200, 400, 400, 400}, got); diff != "" {
		t.Error(diff)
	}
}
