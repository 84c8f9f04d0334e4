package openid

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The levels of a login: with a password, and with a password once more for who is logged in already.
const (
	acrPassword = "1"
	acrAgain    = "2"
)

// request is an authorization request, checked.
type request struct {
	client    *Client
	redirect  string
	state     string
	nonce     string
	challenge string
	scope     []string
	prompt    []string
	acr       string // the highest level that was asked for and is known; empty: none
	maxAge    time.Duration
	hasMaxAge bool
	hint      string
	pushed    bool
	end       time.Time // while it waits
}

// badPage is a failure that must not be redirected, as nobody knows yet that the address is the client's
// (RFC 6749, section 4.1.2.1).
type badPage struct{ why string }

// Error implements error.
func (b *badPage) Error() string { return b.why }

// parseRequest checks client and redirect_uri, and then the rest. When the error is a *refusal, the request
// says where to send it.
func (p *Provider) parseRequest(form url.Values) (*request, error) {
	for _, values := range form {
		if len(values) > 1 { // RFC 6749, section 3.1
			return nil, &badPage{"duplicated parameter"}
		}
	}
	c := p.client(form.Get("client_id"))
	if c == nil {
		return nil, &badPage{"Client not found."}
	}
	r := &request{
		client: c, redirect: form.Get("redirect_uri"), state: form.Get("state"), nonce: form.Get("nonce"),
		challenge: form.Get("code_challenge"), scope: strings.Fields(form.Get("scope")), prompt: strings.Fields(form.Get("prompt")),
		hint: form.Get("login_hint"),
	}
	if !slices.Contains(c.RedirectURIs, r.redirect) {
		return nil, &badPage{"Invalid parameter: redirect_uri"}
	}
	return r, r.check(form)
}

func (r *request) check(form url.Values) error {
	switch {
	case form.Get("response_type") != "code":
		return refuse("unsupported_response_type", "only the code flow is here")
	case form.Get("response_mode") != "" && form.Get("response_mode") != "query":
		return refuse("invalid_request", "Invalid parameter: response_mode")
	case form.Get("code_challenge_method") != "S256" || len(r.challenge) != 43: // RFC 7636, section 4.2
		return refuse("invalid_request", "Missing parameter: code_challenge_method")
	case !slices.Contains(r.scope, "openid"):
		return refuse("invalid_scope", "scope must contain openid")
	case !r.client.knows(r.scope):
		return refuse("invalid_scope", "Invalid scopes: "+strings.Join(r.scope, " "))
	case slices.Contains(r.prompt, "none") && len(r.prompt) > 1:
		return refuse("invalid_request", "prompt=none stands alone")
	}
	return r.checkAge(form)
}

func (r *request) checkAge(form url.Values) error {
	for _, level := range strings.Fields(form.Get("acr_values")) {
		if level == acrPassword || level == acrAgain {
			r.acr = max(r.acr, level)
		}
	}
	if !form.Has("max_age") {
		return nil
	}
	seconds, err := strconv.ParseUint(form.Get("max_age"), 10, 31)
	if err != nil {
		return refuse("invalid_request", "Invalid parameter: max_age")
	}
	r.hasMaxAge, r.maxAge = true, time.Duration(seconds)*time.Second
	return nil
}

func (c *Client) knows(scope []string) bool {
	return !slices.ContainsFunc(scope, func(s string) bool {
		return !slices.Contains([]string{"openid", "profile", "email", "groups"}, s) && !slices.Contains(c.Scopes, s)
	})
}

// satisfiedBy reports whether s is login enough for the request.
func (r *request) satisfiedBy(s *session, now time.Time) bool {
	switch {
	case s == nil, slices.Contains(r.prompt, "login"), slices.Contains(r.prompt, "select_account"), r.acr > s.acr:
		return false
	}
	return !r.hasMaxAge || now.Sub(s.authTime) < r.maxAge
}

const (
	pushLife   = time.Minute
	pagesLife  = 10 * time.Minute
	codeLife   = time.Minute
	pushPrefix = "urn:ietf:params:oauth:request_uri:"
)

// push takes an authorization request from the back (RFC 9126, section 2).
func (p *Provider) push(r *http.Request) (any, error) {
	c, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	if id := r.PostForm.Get("client_id"); id != "" && id != c.ID || r.PostForm.Has("request_uri") {
		return nil, refuse("invalid_request", "client_id is another's, or there is a request_uri")
	}
	r.PostForm.Set("client_id", c.ID)
	req, err := p.parseRequest(r.PostForm)
	if bad, ok := err.(*badPage); ok { //nolint:errorlint // parseRequest wraps nothing
		return nil, refuse("invalid_request", bad.why)
	} else if err != nil {
		return nil, err
	}
	req.pushed = true
	uri := pushPrefix + p.wait(req, pushLife)
	return map[string]any{"request_uri": uri, "expires_in": int(pushLife.Seconds())}, nil
}

// wait keeps a request for later, under a name that is good once.
func (p *Provider) wait(req *request, life time.Duration) string {
	name, now := random(), p.cfg.Now()
	req.end = now.Add(life)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked(now)
	p.waiting[name] = req
	return name
}

func (p *Provider) take(name string) (*request, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	req := p.waiting[name]
	delete(p.waiting, name)
	if req == nil || p.cfg.Now().After(req.end) {
		return nil, &badPage{"this request is unknown, was used before, or has expired"}
	}
	return req, nil
}

// incoming returns the request that the browser brings, itself or by reference.
func (p *Provider) incoming(form url.Values) (*request, error) {
	name, pushed := strings.CutPrefix(form.Get("request_uri"), pushPrefix)
	if pushed {
		req, err := p.take(name)
		if err == nil && req.client.ID != form.Get("client_id") { // RFC 9126, section 4
			return nil, &badPage{"the request was pushed by another client"}
		}
		return req, err
	}
	req, err := p.parseRequest(form)
	if err == nil && p.cfg.RequirePAR {
		err = refuse("invalid_request", "Pushed Authorization Request is only allowed.")
	}
	if err != nil {
		err = fmt.Errorf("authorize: %w", err)
	}
	return req, err
}
