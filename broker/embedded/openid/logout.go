package openid

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// ending is an RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0), checked.
type ending struct {
	client   *Client
	sid      string // of the hint; empty: there was none
	redirect string
	state    string
}

// logout ends a session. Without a hint it asks first: any page can send a browser here.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.page(w, http.StatusBadRequest, page{Title: "We are sorry", Text: "the request cannot be read"})
		return
	}
	if r.Method == http.MethodPost && r.PostForm.Has("refresh_token") {
		p.answer(http.StatusNoContent, p.logoutByToken)(w, r)
		return
	}
	end, err := p.parseEnding(r.Form)
	if err != nil {
		p.page(w, http.StatusBadRequest, page{Title: "We are sorry", Text: err.Error()})
		return
	}
	mine := p.sessionOf(r)
	s := p.bySID(end.sid)
	if end.sid == "" {
		s = mine
		if s != nil && r.PostForm.Get("confirm") != s.sid {
			p.page(w, http.StatusOK, page{Title: "Do you want to log out?", Confirm: s.sid})
			return
		}
	}
	if mine == s {
		http.SetCookie(w, p.cookie(""))
	}
	p.leave(w, r, end, p.endAll(r.Context(), s))
}

// leave sends the browser on, by way of the clients that want to hear of it in the browser.
func (p *Provider) leave(w http.ResponseWriter, r *http.Request, end ending, ended []logoutCall) {
	target := end.redirect
	if u, err := url.Parse(target); err == nil && target != "" && end.state != "" {
		query := u.Query()
		query.Set("state", end.state)
		u.RawQuery = query.Encode()
		target = u.String()
	}
	frames := p.frames(ended)
	if len(frames) == 0 && target != "" {
		http.Redirect(w, r, target, http.StatusFound)
		return
	}
	p.page(w, http.StatusOK, page{Title: "You are logged out", Frames: frames, Continue: target})
}

func (p *Provider) parseEnding(form url.Values) (ending, error) {
	end := ending{redirect: form.Get("post_logout_redirect_uri"), state: form.Get("state")}
	id := form.Get("client_id")
	if hint := form.Get("id_token_hint"); hint != "" {
		claims, err := p.hint(hint)
		if err != nil {
			return end, &badPage{"Invalid parameter: id_token_hint"}
		}
		if azp := text(claims, "azp"); id != "" && id != azp {
			return end, &badPage{"Invalid parameter: client_id"}
		}
		id, end.sid = text(claims, "azp"), text(claims, "sid")
	}
	end.client = p.client(id)
	switch {
	case id != "" && end.client == nil:
		return end, &badPage{"Invalid parameter: client_id"}
	case end.redirect == "":
	case end.client == nil:
		return end, &badPage{"Missing parameters: id_token_hint"}
	case !slices.Contains(end.client.PostLogoutRedirectURIs, end.redirect):
		return end, &badPage{"Invalid redirect uri"}
	}
	return end, nil
}

// hint reads an ID token of ours, expired ones too (RP-Initiated Logout, section 2).
func (p *Provider) hint(raw string) (jwt.MapClaims, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims, err := p.verifyLocked(raw)
	if err == nil && text(claims, "typ") != "ID" {
		err = jwt.ErrTokenInvalidClaims
	}
	return claims, err
}

func (p *Provider) bySID(sid string) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[sid]
}

// logoutByToken is Keycloak's own: a client ends the whole session from the back, with its refresh token.
func (p *Provider) logoutByToken(r *http.Request) (any, error) {
	c, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	t := p.refresh[r.PostForm.Get("refresh_token")]
	p.mu.Unlock()
	if t == nil || t.grant.client.ID != c.ID {
		return nil, invalidGrant("Invalid refresh token")
	}
	p.endAll(r.Context(), t.grant.session)
	return none{}, nil
}

// endAll ends the sessions and tells their clients; a nil session is none.
func (p *Provider) endAll(ctx context.Context, sessions ...*session) (calls []logoutCall) {
	p.mu.Lock()
	for _, s := range sessions {
		if s == nil || s.ended {
			continue
		}
		for _, c := range p.endLocked(s) {
			calls = append(calls, logoutCall{client: c, session: s})
		}
	}
	p.mu.Unlock()
	p.notify(ctx, calls)
	return calls
}
