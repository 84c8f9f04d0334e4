package bff

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/intercom-broker/intercom/broker/fault"
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
	h := make(http.Header, len(v.r.Header)+2)
	hygiene.ForwardHeaders(h, v.r.Header, "Authorization", HeaderCSRF)
	v.from(h)
	if v.who == nil {
		return h, nil
	}
	token, err := v.token(v.r.Context())
	if err != nil {
		return nil, err
	}
	if !token.IsZero() {
		h["Authorization"] = []string{"Bearer " + string(token.Reveal())}
	}
	return h, nil
}

// from says who asked, and where: what another proxy says of that counts only where RemoteAddr is its word already.
func (v *visit) from(h http.Header) {
	client, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		client = v.r.RemoteAddr
	}
	scheme, _, _ := strings.Cut(v.origin.URL, ":")
	h["X-Forwarded-For"], h["X-Forwarded-Host"], h["X-Forwarded-Proto"] = []string{client}, []string{v.origin.Host()}, []string{scheme}
}

// token returns the token that the service takes of this user, and the zero value when it takes none.
func (v *visit) token(ctx context.Context) (secret.Value, error) {
	s := v.route.Service
	kind := s.Browser.User.Kind
	if kind == service.UserNone {
		return secret.Value{}, nil
	}
	fresh, err := v.Sessions.Fresh(ctx, *v.who, v.refresh)
	if err != nil {
		return secret.Value{}, err
	}
	v.who = &fresh
	switch kind {
	case service.UserOwn:
		return ownToken(fresh.Tokens.Access, s.Browser.User.Audience)
	case service.UserExchange:
		return v.exchanged(ctx, s.Browser.User.Audience, s.Browser.User.Scope)
	default:
		return v.minted(ctx, s.Token.Audience)
	}
}

// refresh is the [session.Refresher] at the provider.
func (h *Handler) refresh(ctx context.Context, s session.Session) (session.Session, error) {
	tokens, _, err := h.Provider.Refresh(ctx, s.Tokens.Refresh, provider.Claims{Issuer: s.Issuer, Subject: s.Subject})
	if err != nil {
		return s, outcome(err)
	}
	s.Tokens = session.Tokens{Access: tokens.Access, Refresh: tokens.Refresh, ID: s.Tokens.ID, Issued: h.now(), Expiry: tokens.Expiry}
	if !tokens.ID.IsZero() {
		s.Tokens.ID = tokens.ID
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
	e := fault.New(fault.Unavailable, "provider_unavailable", "the login provider does not answer").Because(err)
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

// exchanged trades the session's token at the provider.
func (v *visit) exchanged(ctx context.Context, audience string, scope []string) (secret.Value, error) {
	key := tokenKey{v.who.Hash, v.who.Subject, "exchange", audience, strings.Join(scope, " ")}
	return v.tokens.get(ctx, v.now(), key, func(ctx context.Context) (secret.Value, time.Time, error) {
		got, err := v.Provider.Exchange(ctx, v.who.Tokens.Access, audience, scope...)
		if err != nil {
			return secret.Value{}, time.Time{}, refusedExchange(err)
		}
		return got.Token, got.Expiry, nil
	})
}

func refusedExchange(err error) error {
	e := fault.From(err)
	if e.Kind == fault.Unavailable || e.Kind == fault.Timeout {
		return err
	}
	return noToken(e.Message, err)
}

// minted asks our broker, with a token of the user's that is for the broker alone.
func (v *visit) minted(ctx context.Context, audience string) (secret.Value, error) {
	if v.Mint == nil || v.BrokerAudience == "" {
		return secret.Value{}, noToken("there is nobody to mint a token", nil)
	}
	subject, err := v.exchanged(ctx, v.BrokerAudience, nil)
	if err != nil {
		return secret.Value{}, err
	}
	key := tokenKey{v.who.Hash, v.who.Subject, "mint", audience, ""}
	return v.tokens.get(ctx, v.now(), key, func(ctx context.Context) (secret.Value, time.Time, error) {
		token, end, err := v.Mint(ctx, audience, subject)
		if err != nil && fault.KindOf(err) != fault.Denied {
			err = refusedExchange(err)
		}
		return token, end, err
	})
}

// tokenKey is all that a derived token depends on: another user's session is another key, whatever else is
// alike.
type tokenKey struct {
	session         session.Hash
	subject, how    string
	audience, scope string
}

// tokens keeps derived tokens until shortly before their end, one flight for each.
type tokens struct {
	mu      sync.Mutex
	kept    map[tokenKey]keptToken
	flights singleflight.Group
}

type keptToken struct {
	token secret.Value
	end   time.Time
}

const (
	// early is how long before its end a token is no longer sent.
	early = 30 * time.Second
	// maxTokens bounds what is kept. Over it all go: to find the oldest costs more than to trade again.
	maxTokens = 50_000
	// tradeTimeout bounds one trade, whoever waits for it.
	tradeTimeout = 15 * time.Second
)

func (t *tokens) get(ctx context.Context, now time.Time, key tokenKey, trade func(context.Context) (secret.Value, time.Time, error)) (secret.Value, error) {
	t.mu.Lock()
	held := t.kept[key]
	t.mu.Unlock()
	if now.Add(early).Before(held.end) {
		return held.token, nil
	}
	flight := t.flights.DoChan(key.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tradeTimeout)
		defer cancel()
		token, end, err := trade(ctx)
		if err == nil {
			t.keep(key, keptToken{token, end})
		}
		return token, err
	})
	select {
	case got := <-flight:
		if got.Err != nil {
			return secret.Value{}, got.Err
		}
		return got.Val.(secret.Value), nil
	case <-ctx.Done():
		return secret.Value{}, fault.New(fault.Timeout, "", "the caller did not wait").Because(ctx.Err())
	}
}

// String is one for each key: quotes keep two apart that join alike.
func (k tokenKey) String() string {
	return fmt.Sprintf("%s %q %q %q %q", k.session, k.subject, k.how, k.audience, k.scope)
}

func (t *tokens) keep(key tokenKey, k keptToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil || len(t.kept) >= maxTokens {
		t.kept = map[tokenKey]keptToken{}
	}
	t.kept[key] = k
}

// forget drops a token that a service did not take.
func (t *tokens) forget(hash session.Hash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.kept {
		if key.session == hash {
			delete(t.kept, key)
		}
	}
}
