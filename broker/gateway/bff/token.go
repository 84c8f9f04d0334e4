package bff

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// ReasonToken is the reason of a call that failed because its token could not be had.
const ReasonToken = "token_exchange_failed"

// header is what the service gets: what may travel of the browser's, and the token last.
func (v *visit) header() (http.Header, error) {
	h := make(http.Header, len(v.r.Header)+4)
	hygiene.ForwardHeaders(h, v.r.Header, "Authorization", HeaderCSRF, dpop.Header)
	v.from(h)
	if v.who == nil {
		return h, nil
	}
	return h, v.authorize(v.r.Context(), h)
}

// authorize puts what the service takes for this user into its header, if it takes anything.
func (v *visit) authorize(ctx context.Context, h http.Header) error {
	kind := v.route.Service.Browser.User.Kind
	if kind == service.UserBasic {
		basic, err := v.basic(ctx)
		h["Authorization"] = []string{basic}
		return err
	}
	token, err := v.token(ctx)
	if err != nil || token.IsZero() {
		return err
	}
	if kind != service.UserMint && !v.who.Tokens.Key.IsZero() { // the provider's own are bound to the session's key
		return v.prove(h, string(token.Reveal()))
	}
	h["Authorization"] = []string{"Bearer " + string(token.Reveal())}
	return nil
}

// from says who asked, and where: what another proxy says of that counts only where RemoteAddr is its word already.
func (v *visit) from(h http.Header) {
	client, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		client = v.r.RemoteAddr
	}
	scheme, _, _ := strings.Cut(v.origin.URL, ":")
	said := [...]string{client, v.origin.Host(), scheme} // one array for three
	h["X-Forwarded-For"], h["X-Forwarded-Host"], h["X-Forwarded-Proto"] = said[0:1:1], said[1:2:2], said[2:3:3]
}

// token returns the token that the service takes of this user, and the zero value when it takes none.
func (v *visit) token(ctx context.Context) (secret.Value, error) {
	s := v.route.Service
	kind := s.Browser.User.Kind
	if kind == service.UserNone {
		return secret.Value{}, nil
	}
	if err := v.freshen(ctx); err != nil {
		return secret.Value{}, err
	}
	switch kind {
	case service.UserOwn:
		return ownToken(v.who.Tokens.Access, s.Browser.User.Audience)
	case service.UserExchange:
		token, err := v.exchanged(ctx, s.Browser.User.Audience, s.Browser.User.Scope)
		return v.orLast(v.exchangeKey(s.Browser.User.Audience, s.Browser.User.Scope), token, err)
	default:
		return v.minted(ctx, s.Token.Audience)
	}
}

// freshen sees to it that the session's own token has not expired.
func (v *visit) freshen(ctx context.Context) error {
	if !v.Sessions.Due(v.who) {
		return nil
	}
	fresh, err := v.Sessions.Fresh(ctx, *v.who, v.refresh)
	if err != nil {
		return err
	}
	v.who = &fresh
	return nil
}

// refresh is the [session.Refresher] at the provider.
func (h *Handler) refresh(ctx context.Context, s session.Session) (session.Session, error) {
	tokens, claims, err := h.Provider.Holding(s.Tokens.Key).Refresh(ctx, s.Tokens.Refresh, provider.Claims{Issuer: s.Issuer, Subject: s.Subject})
	if err != nil {
		return s, outcome(err)
	}
	s.Tokens = session.Tokens{Access: tokens.Access, Refresh: tokens.Refresh, ID: s.Tokens.ID, Key: s.Tokens.Key, Issued: h.now(), Expiry: tokens.Expiry}
	if !tokens.ID.IsZero() {
		s.Tokens.ID = tokens.ID
		// All of it: a group that is gone must be gone here too, and providers leave out lists that are empty.
		if s.Claims, s.Groups, err = claims.Keep(h.Claims, cmp.Or(h.Groups, "groups")); err != nil {
			return s, outcome(err)
		}
	}
	if !tokens.RefreshExpiry.IsZero() {
		s.ProviderEnd = tokens.RefreshExpiry
	}
	return s, nil
}

// outcome says in the kinds that package session acts on how a refresh went.
func outcome(err error) error {
	switch provider.OutcomeOf(err) {
	case provider.Ended:
		return fault.New(fault.InvalidGrant, "", "the provider ended the session").Because(err)
	case provider.Unknown:
		return fault.New(fault.Timeout, "", "the provider's answer was lost").Because(err)
	}
	return away(err)
}

// away says in the words of this door that the provider does not answer.
func away(err error) *fault.Error {
	e := fault.New(fault.Unavailable, ReasonAway, "the login provider does not answer").Because(err)
	e.RetryAfter = fault.From(err).RetryAfter
	return e
}

// ownToken returns the user's own token, if the service is one of those that it is for. No other token of the login
// leaves the gateway (RFC 9700, section 2.3).
func ownToken(access secret.Value, audience string) (secret.Value, error) {
	parts := strings.Split(string(access.Reveal()), ".")
	var claims struct {
		Audience any `json:"aud"`
	}
	if len(parts) == 3 {
		if data, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(data, &claims) // what cannot be read is for nobody
		}
	}
	var names []any
	switch aud := claims.Audience.(type) {
	case string:
		names = []any{aud}
	case []any:
		names = aud
	}
	if !slices.Contains(names, any(audience)) {
		return secret.Value{}, noToken("the user's token is not for this service", nil)
	}
	return access, nil
}

func noToken(message string, cause error) *fault.Error {
	return fault.New(fault.Unavailable, ReasonToken, message).Because(cause)
}

func (v *visit) exchangeKey(audience string, scope []string) tokenKey {
	return tokenKey{v.who.Hash, v.who.Subject, "exchange", audience, strings.Join(scope, " "), nil}
}

// exchanged is what the provider gives for the session's token.
func (v *visit) exchanged(ctx context.Context, audience string, scope []string) (secret.Value, error) {
	key := v.exchangeKey(audience, scope)
	if token, ok := v.memory.token(v.now(), key); ok {
		return token, nil
	}
	return v.exchange(ctx, key, audience, scope)
}

func (v *visit) exchange(ctx context.Context, key tokenKey, audience string, scope []string) (secret.Value, error) {
	who := *v.who
	return v.memory.trade(ctx, v.now(), key, func(ctx context.Context) (secret.Value, time.Time, error) {
		holder := v.Provider.Holding(who.Tokens.Key)
		got, err := holder.Exchange(ctx, who.Tokens.Access, audience, scope...)
		if fault.From(err).Reason == provider.ReasonExchangeOrEnded {
			var alive session.Session
			if alive, err = v.decideByRefresh(ctx, who, err); err == nil {
				got, err = holder.Exchange(ctx, alive.Tokens.Access, audience, scope...)
			}
		}
		switch {
		case provider.Away(err):
			return secret.Value{}, time.Time{}, away(err)
		case err != nil:
			return secret.Value{}, time.Time{}, refusedTrade(err)
		}
		return got.Token, got.Expiry, nil
	})
}

// orLast is for a token that came, or did not. Where nobody gives one now, the one that is held serves to its very end.
func (v *visit) orLast(key tokenKey, token secret.Value, err error) (secret.Value, error) {
	if err != nil && notNow(err) {
		if held, ok := v.memory.last(v.now(), key); ok {
			return held, nil
		}
	}
	return token, err
}

// notNow reports whether err says that nobody answered, and not that they refused.
func notNow(err error) bool {
	e := fault.From(err)
	switch e.Kind {
	case fault.Unavailable, fault.Timeout, fault.Overloaded:
		return e.Reason != ReasonToken
	}
	return false
}

// lately is for how long a success speaks for itself: a session that was refreshed has not ended, and a service
// that refused a new token means it.
const lately = 10 * time.Second

// decideByRefresh finds out whether a refused exchange is about the audience or the session has ended at the
// provider, who says the same of both: a refresh tells. It returns the refusal where that is known already, else a
// misspelt audience would cost a refresh with each request.
func (v *visit) decideByRefresh(ctx context.Context, who session.Session, refusal error) (session.Session, error) {
	if v.now().Sub(who.Tokens.Issued) < lately {
		return who, refusal
	}
	old := who
	old.Tokens.Issued, old.Tokens.Expiry = time.Time{}, time.Time{} // so that it is due
	fresh, err := v.Sessions.Fresh(ctx, old, v.refresh)
	if err == nil && fresh.Tokens.Generation == who.Tokens.Generation {
		return who, refusal // it could not be refreshed now
	}
	return fresh, err
}

// refusedTrade says whose matter it is that there is no token. The end of a session is the user's, and what does
// not answer is asked again later; all else is between us and who gives tokens.
func refusedTrade(err error) error {
	if _, ended := errors.AsType[*session.Ended](err); ended {
		return err
	}
	switch e := fault.From(err); e.Kind {
	case fault.Unavailable, fault.Timeout, fault.Overloaded:
		return err
	case fault.Denied: // by the broker's policy
		d := *e
		d.Reason = cmp.Or(d.Reason, ReasonPolicy)
		return &d
	default:
		return noToken(e.Message, err)
	}
}

// minted is what our broker gives for the user.
func (v *visit) minted(ctx context.Context, audience string) (secret.Value, error) {
	if v.minter == nil { // once: a token and the certificate that it is bound to go together
		v.minter = v.Minter()
	}
	key := tokenKey{v.who.Hash, v.who.Subject, "mint", audience, "", v.minter}
	if token, ok := v.memory.token(v.now(), key); ok {
		return token, nil
	}
	token, err := v.mint(ctx, key, audience)
	return v.orLast(key, token, err)
}

// mint asks our broker, with a token of the user's that is for the broker alone.
func (v *visit) mint(ctx context.Context, key tokenKey, audience string) (secret.Value, error) {
	if v.BrokerAudience == "" {
		return secret.Value{}, noToken("there is nobody to mint a token", nil)
	}
	subject, err := v.exchanged(ctx, v.BrokerAudience, nil)
	if err != nil {
		return secret.Value{}, err
	}
	return v.memory.trade(ctx, v.now(), key, func(ctx context.Context) (secret.Value, time.Time, error) {
		token, end, err := v.minter.Mint(ctx, audience, subject)
		if err != nil {
			err = refusedTrade(err)
		}
		return token, end, err
	})
}
