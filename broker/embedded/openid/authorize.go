package openid

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
)

// code is what the browser carries to the client.
type code struct {
	request *request
	session *session
	grant   *grant // nil until it was redeemed
	end     time.Time
}

// authorize is where a browser arrives (OpenID Connect Core 1.0, section 3.1.2).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.page(w, http.StatusBadRequest, page{Title: "We are sorry", Text: "the request cannot be read"})
		return
	}
	req, err := p.incoming(r.Form)
	if err != nil {
		p.refuseRequest(w, r, req, err)
		return
	}
	s := p.sessionOf(r)
	switch {
	case req.satisfiedBy(s, p.cfg.Now()):
		p.proceed(w, r, req, s)
	case slices.Contains(req.prompt, "none"):
		p.refuseRequest(w, r, req, refuse("login_required", "nobody is logged in, or not well enough"))
	default:
		p.loginPage(w, http.StatusOK, req, s, "")
	}
}

// refuseRequest sends the browser back with the error, where the way back is known to be the client's.
func (p *Provider) refuseRequest(w http.ResponseWriter, r *http.Request, req *request, err error) {
	refused, ok := errors.AsType[*refusal](err)
	if !ok || req == nil {
		p.page(w, http.StatusBadRequest, page{Title: "We are sorry", Text: err.Error()})
		return
	}
	p.back(w, r, req, url.Values{"error": {refused.code}, "error_description": {refused.description}})
}

// proceed gives the browser a code. Whoever is logged in has agreed: these clients are all our own.
func (p *Provider) proceed(w http.ResponseWriter, r *http.Request, req *request, s *session) {
	name, now := random(), p.cfg.Now()
	p.mu.Lock()
	p.sweepLocked(now)
	p.codes[name] = &code{request: req, session: s, end: now.Add(codeLife)}
	p.mu.Unlock()
	p.back(w, r, req, url.Values{"code": {name}, "session_state": {s.sid}})
}

// back redirects with 303, so that a password never travels on (RFC 9700, section 4.12), and says who
// answers (RFC 9207, section 2).
func (p *Provider) back(w http.ResponseWriter, r *http.Request, req *request, answer url.Values) {
	if req.state != "" {
		answer.Set("state", req.state)
	}
	answer.Set("iss", p.cfg.Issuer)
	target, err := url.Parse(req.redirect)
	if err != nil {
		p.page(w, http.StatusBadRequest, page{Title: "We are sorry", Text: "the redirect_uri is no address"})
		return
	}
	query := target.Query()
	for name, values := range answer {
		query[name] = values
	}
	target.RawQuery = query.Encode()
	http.Redirect(w, r, target.String(), http.StatusSeeOther)
}

// login takes what was typed into the page.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.page(w, http.StatusBadRequest, page{Title: "We are sorry", Text: "the form cannot be read"})
		return
	}
	req, err := p.take(r.PostForm.Get("request"))
	if err != nil {
		p.refuseRequest(w, r, nil, err)
		return
	}
	old := p.sessionOf(r)
	user := p.userWith(r.PostForm.Get("username"), r.PostForm.Get("password"))
	if user == nil {
		p.loginPage(w, http.StatusUnauthorized, req, old, "That is not a name and its password.")
		return
	}
	acr := acrPassword
	if old != nil && old.user == user && req.acr == acrAgain {
		acr = acrAgain
	}
	s := p.logIn(w, user, old, acr)
	if req.acr > s.acr {
		p.loginPage(w, http.StatusOK, req, s, "Once more, please: this needs a second proof.")
		return
	}
	p.proceed(w, r, req, s)
}

func (p *Provider) userWith(name, password string) *User {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.cfg.Users {
		u := &p.cfg.Users[i]
		if u.Name == name && u.Password.Equal(secret.FromString(password)) && !p.disabled[name] {
			return u
		}
	}
	return nil
}

// loginPage asks for name and password. The request waits here, so that the page carries nothing but its name.
func (p *Provider) loginPage(w http.ResponseWriter, status int, req *request, s *session, complaint string) {
	name := req.hint
	if s != nil {
		name = s.user.Name
	}
	p.page(w, status, page{
		Title: "Log in", Text: complaint, Login: true, Action: p.URL(PathLogin), Request: p.wait(req, pagesLife), Name: name,
		Users: p.cfg.Users,
	})
}
