package provider

import (
	"context"
	"errors"
	"net/url"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Redeem checks the query with which the browser came back, redeems its code, and verifies who logged in. The
// caller has made sure that it is the browser of the transaction, and that the transaction is used once.
func (p *Provider) Redeem(ctx context.Context, tx Transaction, callback url.Values) (Tokens, Claims, error) {
	r, err := p.ready()
	if err != nil {
		return Tokens{}, Claims{}, err
	}
	code, err := r.code(tx, callback)
	if err != nil {
		return Tokens{}, Claims{}, err
	}
	key, err := p.newKey()
	if err != nil {
		return Tokens{}, Claims{}, err
	}
	answer, tokens, err := p.grant(ctx, r, key, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {tx.RedirectURI}, "code_verifier": {string(tx.Verifier.Reveal())},
	})
	if err != nil {
		return Tokens{}, Claims{}, notThisLogin(err)
	}
	if tokens.Key, err = key.Secret(); err != nil {
		return Tokens{}, Claims{}, err
	}
	claims, err := p.verifyID(ctx, r, answer.ID) // there must be one: OpenID Connect Core 1.0, section 3.1.3.3
	if err == nil {
		err = claims.check(tx, answer.Access, p.cfg.Now())
	}
	if err != nil {
		return Tokens{}, Claims{}, err
	}
	tokens.ID = secret.FromString(answer.ID)
	return tokens, claims, nil
}

// notThisLogin says of a code what is said of a refresh token otherwise: no session ends with a login that
// failed.
func notThisLogin(err error) error {
	if e := fault.From(err); e.Reason == ReasonEnded {
		return badCallback(ReasonOutdated, "the login took too long, or the login provider's session ended meanwhile").Because(err)
	}
	return err
}

// grant asks the token endpoint, for tokens that are bound to key if there is one.
func (p *Provider) grant(ctx context.Context, r *ready, key dpop.Key, form url.Values) (*tokenAnswer, Tokens, error) {
	asked := p.cfg.Now()
	got, err := p.postWith(ctx, r, key, form)
	if err != nil {
		return nil, Tokens{}, failed(err)
	}
	if !got.success() {
		return nil, Tokens{}, unproven(got.fault(), key)
	}
	answer := &tokenAnswer{}
	if err := got.decode(answer); err != nil {
		return nil, Tokens{}, failed(err)
	}
	tokens, err := answer.tokens(asked, tokenType(key))
	return answer, tokens, err
}

// Refresh asks for new tokens (OpenID Connect Core 1.0, section 12). held is what is known of the user: where a
// new ID token comes it must speak of the same one, and its claims are returned; else held is. Of an error
// [OutcomeOf] says what it means for the session. One call at a time for a session: two would be reuse.
func (h Holder) Refresh(ctx context.Context, refresh secret.Value, held Claims) (Tokens, Claims, error) {
	p := h.provider
	r, key, err := h.ready()
	if err != nil {
		return Tokens{}, held, err
	}
	answer, tokens, err := p.grant(ctx, r, key, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(refresh.Reveal())}})
	if err != nil {
		return Tokens{}, held, err
	}
	if tokens.Key = h.key; tokens.Refresh.IsZero() { // RFC 6749, section 6: the old one goes on
		tokens.Refresh = refresh
	}
	if answer.ID == "" {
		return tokens, held, nil
	}
	claims, err := p.verifyID(ctx, r, answer.ID)
	if p.keyless(ctx, err) {
		// The ID token is a courtesy here: what matters are the tokens, which came over TLS for our own refresh token and
		// would be lost.
		return tokens, held, nil
	}
	if err == nil {
		err = claims.follows(held)
	}
	if err != nil {
		return Tokens{}, held, err
	}
	// Whose it is was signed, and that it is new is seen by how it came. Its times are for who could not know that: to
	// hold to them would log everybody out when a clock goes wrong.
	if err := claims.checkTimes(p.cfg.Now()); err != nil {
		p.cfg.Logger.WarnContext(ctx, "the login provider's clock and ours are apart: new logins will fail", "error", errors.Unwrap(err))
	}
	tokens.ID = secret.FromString(answer.ID)
	return tokens, claims, nil
}

// keyless reports whether an ID token could not be verified because its key cannot be had: now, or at all.
func (p *Provider) keyless(ctx context.Context, err error) bool {
	if _, unknown := errors.AsType[*unknownKeyError](err); unknown {
		p.cfg.Logger.WarnContext(ctx, "the login provider signs with a key that it does not publish: new logins will fail")
		return true
	}
	kind := fault.KindOf(err)
	return err != nil && (kind == fault.Unavailable || kind == fault.Timeout)
}
