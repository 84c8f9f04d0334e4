package openid

import (
	"net/http"
	"time"
)

// session is one browser's login (single sign-on).
type session struct {
	sid      string
	user     *User
	acr      string
	authTime time.Time
	started  time.Time
	used     time.Time
	ended    bool
	grants   []*grant
}

// grant is what one client got of a session: the family of its refresh tokens.
type grant struct {
	session *session
	client  *Client
	scope   []string
	dead    bool
	jkt     string // of the key that its tokens are bound to; empty where they are not
}

func (p *Provider) aliveLocked(s *session, now time.Time) bool {
	return !s.ended && now.Before(s.used.Add(p.cfg.SessionIdle)) && now.Before(s.started.Add(p.cfg.SessionMax))
}

// refreshLife is how long a refresh token that is made now will be good: the session's idle time, or what
// is left of the session.
func (p *Provider) refreshLife(s *session, now time.Time) time.Duration {
	return min(p.cfg.SessionIdle, s.started.Add(p.cfg.SessionMax).Sub(now))
}

const cookieName = "intercom-openid-sso"

// sessionOf returns the living session of the browser that sent r, and nil if there is none.
func (p *Provider) sessionOf(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.cookies[cookie.Value]; s != nil && p.aliveLocked(s, p.cfg.Now()) && !p.disabled[s.user.Name] {
		return s
	}
	return nil
}

// logIn makes a session, or renews old: the same user in the same browser keeps the `sid`.
func (p *Provider) logIn(w http.ResponseWriter, user *User, old *session, acr string) *session {
	now := p.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked(now)
	if old != nil && old.user == user {
		old.authTime, old.used, old.acr = now, now, acr
		return old
	}
	s := &session{sid: random(), user: user, acr: acr, authTime: now, started: now, used: now}
	value := random()
	p.sessions[s.sid], p.cookies[value] = s, s
	http.SetCookie(w, p.cookie(value))
	return s
}

// cookie is SameSite=None where it can be, as a silent login asks from a frame on another site.
func (p *Provider) cookie(value string) *http.Cookie {
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if p.issuer.Scheme == "https" {
		c.Secure, c.SameSite = true, http.SameSiteNoneMode
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// endLocked ends s, and returns the clients that are to hear of it.
func (p *Provider) endLocked(s *session) (clients []*Client) {
	s.ended = true
	for _, g := range s.grants {
		if !g.dead {
			g.dead = true
			clients = append(clients, p.clients[g.client.ID])
		}
	}
	return clients
}
