package vault

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/intercom-broker/intercom/broker/secret"
)

// login is a token and what is known of it. It does not change: a renewal makes another of the same token.
type login struct {
	data, control *api.Client // with the token
	// life is how long the token was good for when it was new, and granted what the latest answer gave it.
	life, granted time.Duration
	// notAfter is when it ends by our clock, counted from before the request; zero means never.
	notAfter  time.Time
	renewable bool
	pulse     *pulse
}

// pulse is when a token was last seen to be good: by its login, or by a look at it.
type pulse struct {
	lock chan struct{} // of one place: a mutex that is waited for with a context
	seen time.Time
	dead bool
}

func (l *login) good(now time.Time) bool {
	return l != nil && (l.notAfter.IsZero() || now.Before(l.notAfter))
}

// authAnswer is what a login and a renewal answer. The token is unprintable as soon as it is decoded.
type authAnswer struct {
	Auth struct {
		ClientToken   secret.Value `json:"client_token"`
		LeaseDuration int64        `json:"lease_duration"`
		Renewable     bool         `json:"renewable"`
	} `json:"auth"`
}

// life of a token that ends; a longer one than a year is cut there, so that no sum overflows.
func (a authAnswer) life() time.Duration {
	return time.Duration(min(a.Auth.LeaseDuration, 366*24*3600)) * time.Second
}

// logIn logs in once.
func (s *session) logIn(ctx context.Context) (*login, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	body, err := s.loginBody(ctx)
	if err != nil {
		return nil, outage(ReasonNoIdentity, "the broker has no identity to log in to the credential store with", 0, err)
	}
	asked, answer := time.Now(), authAnswer{}
	err = s.caller.send(ctx, s.lanes.control, "login", func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		return v.WriteRawWithContext(ctx, "auth/"+s.cfg.Auth.Mount+"/login", body)
	}, &answer)
	if err != nil {
		return nil, s.refused(err)
	}
	token := answer.Auth.ClientToken
	if token.IsZero() {
		return nil, s.refused(errors.New("the answer to the login holds no token"))
	}
	l := &login{
		data: withToken(s.lanes.data, token), control: withToken(s.lanes.control, token),
		life: answer.life(), granted: answer.life(), renewable: answer.Auth.Renewable, pulse: &pulse{lock: make(chan struct{}, 1), seen: asked},
	}
	if l.life > 0 {
		l.notAfter = asked.Add(l.life)
	}
	return l, nil
}

// loginBody is what proves who we are; with Cert that is the connection, and the body names the role.
func (s *session) loginBody(ctx context.Context) ([]byte, error) {
	if s.cfg.Auth.Method == Cert {
		if _, err := s.cfg.Identity.GetX509SVID(); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]string{"name": s.cfg.Auth.Role})
	}
	svid, err := s.cfg.Identity.FetchJWTSVID(ctx, s.cfg.Auth.Audience)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"role": s.cfg.Auth.Role, "jwt": svid.Marshal()})
}

// renew renews the token once and returns the login as it is then.
func (s *session) renew(ctx context.Context, l *login) (*login, error) {
	asked, answer := time.Now(), authAnswer{}
	err := s.caller.send(ctx, l.control, "renew", func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		return v.WriteRawWithContext(ctx, "auth/token/renew-self", []byte("{}"))
	}, &answer)
	if err != nil {
		return nil, err
	}
	next := *l
	next.granted, next.renewable = answer.life(), answer.Auth.Renewable
	next.notAfter = asked.Add(next.granted)
	return &next, nil
}

// confirm reports whether Vault still knows the token, as far as we can tell: an outage says nothing
// about it. It asks at most once per confirmEvery.
func (s *session) confirm(ctx context.Context, l *login) bool {
	select {
	case l.pulse.lock <- struct{}{}:
		defer func() { <-l.pulse.lock }()
	case <-ctx.Done():
		return true
	}
	if l.pulse.dead || time.Since(l.pulse.seen) < confirmEvery {
		return !l.pulse.dead
	}
	err := s.caller.send(ctx, l.control, "lookup", func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		return v.ReadRawWithContext(ctx, "auth/token/lookup-self")
	}, nil)
	l.pulse.seen, l.pulse.dead = time.Now(), is(err, ReasonPermissionDenied)
	return !l.pulse.dead
}

// revoke gives the token back.
func (s *session) revoke(ctx context.Context, l *login) error {
	return s.caller.send(ctx, l.control, "revoke", func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		return v.WriteRawWithContext(ctx, "auth/token/revoke-self", []byte("{}"))
	}, nil)
}
