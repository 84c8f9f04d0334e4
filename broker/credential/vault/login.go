package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// login is a token and what is known of it. It does not change: a renewal makes another of the same token.
type login struct {
	data, control *api.Client // with the token
	// life is how long the token was good for when it was new.
	life time.Duration
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
		life: answer.life(), renewable: answer.Auth.Renewable, pulse: &pulse{lock: make(chan struct{}, 1), seen: asked},
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

// refused makes one reason of every way in which Vault says no, and adds the cure where its words are
// known. An outage stays what it is; that Vault cannot fetch the keys which it would judge us by is one
// too, though it says so in a 400.
func (s *session) refused(err error) error {
	a, answered := errors.AsType[*answer](err)
	if fault.KindOf(err) != fault.Internal && !(answered && a.says(noName)) {
		return err
	}
	cause := err
	if answered {
		cause = a
		if cure := s.cure(a); cure != "" {
			cause = fmt.Errorf("%w (%s)", a, cure)
		}
		if a.says("fetching keys") {
			return outage(ReasonNoKeys, "the credential store cannot tell who the broker is", 0, cause)
		}
	}
	return final(ReasonLoginRefused, "the credential store does not let the broker in", cause)
}

// noName is Vault's answer to a certificate without a common name. It comes as a 500, and is a refusal.
const noName = "missing name in alias"

// cure says what to do about the refusals that are met in practice.
func (s *session) cure(a *answer) string {
	switch {
	case a.says(noName):
		return "the SVID has no common name: give the broker's SPIRE entry a -dns name, or log in by jwt"
	case a.says("audience"):
		return fmt.Sprintf("bound_audiences of the role must have %q", s.cfg.Auth.Audience)
	case a.says("subject (sub)", "bound_subject"):
		return "bound_subject of the role must be the broker's SPIFFE ID"
	case a.says("signature", "key"):
		return "jwks_url of auth/" + s.cfg.Auth.Mount + "/config must give the trust domain's keys"
	case a.says("role"):
		return fmt.Sprintf("there must be a role %q in auth/%s", s.cfg.Auth.Role, s.cfg.Auth.Mount)
	case a.says("permission denied", "no handler", "unsupported path"):
		return fmt.Sprintf("is %s enabled at auth/%s, and in which namespace?", s.cfg.Auth.Method, s.cfg.Auth.Mount)
	default:
		return ""
	}
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
	next.notAfter, next.renewable = asked.Add(answer.life()), answer.Auth.Renewable
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
