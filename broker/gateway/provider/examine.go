package provider

import (
	"context"
	"crypto/rand"
	"net/url"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Examine is [Open] for whoever wants to know why: that the provider does not answer is an error too. The Provider is
// nil only when nothing was asked, because of cfg.
func Examine(ctx context.Context, cfg Config) (*Provider, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &Provider{cfg: cfg, http: newClient(cfg.RootCAs), refused: newNegatives(cfg.Now), replayed: newReplays(cfg.Now)}
	p.pulse = newPulse(cfg, p.ask)
	return p, p.load(ctx)
}

// Metadata returns what the provider says of itself.
func (p *Provider) Metadata() (Metadata, error) {
	r, err := p.ready()
	if err != nil {
		return Metadata{}, err
	}
	return r.Metadata, nil
}

// Method returns how we prove ourselves to the provider: one of [BySVID], [ByPrivateKey], [BySecretBasic] and
// [BySecretPosted].
func (p *Provider) Method() (string, error) {
	r, err := p.ready()
	if err != nil {
		return "", err
	}
	return r.method, nil
}

// TryClient finds out whether the provider takes our proof of who we are, without a login: it redeems a code that
// nobody was given. A client is authenticated before its code is looked at (RFC 6749, section 4.1.3), so
// invalid_grant is the good answer; what is not is returned with a [RefusedError] as its cause.
func (p *Provider) TryClient(ctx context.Context, redirectURI string) error {
	r, err := p.ready()
	if err != nil {
		return err
	}
	key, err := p.newKey()
	if err != nil {
		return err
	}
	_, _, err = p.grant(ctx, r, key, url.Values{
		"grant_type": {"authorization_code"}, "code": {"a-code-that-nobody-was-given"}, "redirect_uri": {redirectURI},
		"code_verifier": {"a-verifier-of-no-code-whatsoever-0123456789"},
	})
	if fault.KindOf(err) == fault.InvalidGrant {
		return nil
	}
	if err == nil {
		err = fault.New(fault.Internal, "", "the provider gave tokens for a code that nobody was given")
	}
	return err
}

// TryStranger is [Provider.TryClient] with a secret that was made up now: where that is a good answer, the provider asks nobody
// who he is, as it does of public clients (RFC 6749, section 2.1).
func (p *Provider) TryStranger(ctx context.Context, redirectURI string) error {
	cfg := p.cfg
	cfg.Auth = Auth{Method: cfg.Auth.Method, Secret: func(context.Context) (secret.Value, error) { return secret.FromString(rand.Text()), nil }}
	stranger, err := Examine(ctx, cfg)
	if err != nil {
		return err
	}
	return stranger.TryClient(ctx, redirectURI)
}

// Trial returns the holder of a key that was made now, where tokens are bound to one, and of none elsewhere: what it asks for
// is asked for as a session would.
func (p *Provider) Trial() (Holder, error) {
	key, err := p.newKey()
	if err != nil {
		return Holder{}, err
	}
	kept, err := key.Secret()
	return p.Holding(kept), err
}

// ServiceToken returns an access token of the client's own (RFC 6749, section 4.4): where the provider gives one, its
// exchange can be tried without a user. It is an error like any other where the client has none, as most.
func (h Holder) ServiceToken(ctx context.Context) (secret.Value, error) {
	r, key, err := h.ready()
	if err != nil {
		return secret.Value{}, err
	}
	_, tokens, err := h.provider.grant(ctx, r, key, url.Values{"grant_type": {"client_credentials"}})
	return tokens.Access, err
}
