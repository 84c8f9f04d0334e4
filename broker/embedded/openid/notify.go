package openid

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// logoutCall is one client that is to hear of one session's end.
type logoutCall struct {
	client  *Client
	session *session
}

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	logoutLife  = 2 * time.Minute
	// logoutPatience is for one client; the user waits meanwhile.
	logoutPatience = 5 * time.Second
)

// LogoutClaims are those of a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4).
func (p *Provider) LogoutClaims(client, subject, sid string) map[string]any {
	now := p.cfg.Now()
	return map[string]any{
		"iss": p.cfg.Issuer, "aud": client, "sub": subject, "sid": sid, "iat": now.Unix(), "exp": now.Add(logoutLife).Unix(),
		"jti": random(), "typ": "Logout", "events": map[string]any{logoutEvent: map[string]any{}, "revoke_offline_access": true},
	}
}

// notify tells the clients, one after the other, each once, and goes on whatever they answer.
func (p *Provider) notify(ctx context.Context, calls []logoutCall) {
	for _, call := range calls {
		if call.client.BackchannelLogoutURI == "" {
			continue
		}
		token, err := p.Sign(map[string]any{"typ": "logout+jwt"}, p.LogoutClaims(call.client.ID, call.session.user.subject(), call.session.sid))
		if err == nil {
			_ = p.postLogout(ctx, call.client.BackchannelLogoutURI, token)
		}
	}
}

func (p *Provider) postLogout(ctx context.Context, uri, token string) error {
	// The browser that asked may be gone already; the others are to hear of it all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutPatience)
	defer cancel()
	body := url.Values{"logout_token": {token}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.cfg.HTTP.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// frames are the addresses of front-channel logout (OpenID Connect Front-Channel Logout 1.0, section 3).
func (p *Provider) frames(calls []logoutCall) (frames []string) {
	for _, call := range calls {
		u, err := url.Parse(call.client.FrontchannelLogoutURI)
		if err != nil || u.Host == "" {
			continue
		}
		query := u.Query()
		query.Set("iss", p.cfg.Issuer)
		query.Set("sid", call.session.sid)
		u.RawQuery = query.Encode()
		frames = append(frames, u.String())
	}
	return frames
}

// origin is the part of an address that a content security policy names.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}
