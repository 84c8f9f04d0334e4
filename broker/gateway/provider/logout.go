package provider

import (
	"context"
	"net/http"
	"net/url"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// EndSessionURL returns where to send a browser that logged out here, so that it is logged out there too
// (OpenID Connect RP-Initiated Logout 1.0, section 2). The hint is the ID token, expired or not: without it
// the provider asks the user. It returns fault.Unsupported when the provider has no such place.
func (p *Provider) EndSessionURL(hint secret.Value, postLogoutRedirectURI, state string) (string, error) {
	r, err := p.ready()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(r.EndSession)
	if err != nil || r.EndSession == "" {
		return "", noEndSession()
	}
	query := u.Query()
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("id_token_hint", string(hint.Reveal()))
	set("client_id", p.cfg.ClientID)
	set("post_logout_redirect_uri", postLogoutRedirectURI)
	set("state", state)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func noEndSession() error {
	return fault.New(fault.Unsupported, "", "the login provider has no logout")
}

// Revoke takes a refresh token back (RFC 7009). At the provider it ends what we have of the session and
// nothing else. Where there is no such endpoint it is [Provider.EndSession].
func (p *Provider) Revoke(ctx context.Context, refresh secret.Value) error {
	r, err := p.ready()
	if err != nil {
		return err
	}
	if r.Revocation == "" {
		return p.EndSession(ctx, refresh)
	}
	return p.tell(ctx, r, r.Revocation, url.Values{"token": {string(refresh.Reveal())}, "token_type_hint": {"refresh_token"}})
}

// EndSession ends the provider's whole session from behind, other clients' part of it included. It is for when
// no browser will go to [Provider.EndSessionURL]. No standard has it; Keycloak does.
func (p *Provider) EndSession(ctx context.Context, refresh secret.Value) error {
	r, err := p.ready()
	if err != nil {
		return err
	}
	if r.EndSession == "" {
		return noEndSession()
	}
	return p.tell(ctx, r, r.EndSession, url.Values{"refresh_token": {string(refresh.Reveal())}})
}

// tell sends what is answered with nothing.
func (p *Provider) tell(ctx context.Context, r *ready, endpoint string, form url.Values) error {
	got, err := p.post(ctx, r, endpoint, form)
	switch {
	case err != nil:
		return failed(err)
	case got.status == http.StatusOK, got.status == http.StatusNoContent:
		return nil
	}
	return got.fault()
}
