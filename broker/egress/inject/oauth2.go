package inject

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// TokensConfig configures Tokens.
type TokensConfig struct {
	// Transport reaches the token endpoint; required. It must verify TLS and mind where it dials.
	Transport http.RoundTripper
	// Timeout bounds one question to the token endpoint, however many callers wait for it; 0 means 10 s.
	Timeout time.Duration
	// Backoff is the shortest time between a question that failed and the next; 0 means 1 s.
	Backoff time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of renewals that failed behind the callers; nil means nobody is.
	Logger *slog.Logger
}

// Tokens keeps one service's token. It is asked for once for however many callers, and again with two thirds
// of its life gone, behind them; one that was asked for with an older version of the credential is not used.
type Tokens struct {
	how     *service.OAuth2
	cfg     TokensConfig
	client  *http.Client
	flights singleflight.Group

	mu   sync.Mutex
	kept issued
}

// issued is a token, and the credential that it was asked for with.
type issued struct {
	by             credential.Credential
	token          secret.Value
	renew, expires time.Time
	failure        error // of the last question, nil when well
	failed         time.Time
}

// NewTokens returns Tokens that asks as how says.
func NewTokens(how *service.OAuth2, cfg TokensConfig) *Tokens {
	cfg.Timeout, cfg.Backoff = cmp.Or(cfg.Timeout, 10*time.Second), cmp.Or(cfg.Backoff, time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Tokens{how: how, cfg: cfg, client: &http.Client{
		Transport: cfg.Transport, Timeout: cfg.Timeout,
		// A redirect would carry the client's secret to where nobody meant it to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Get returns a token for the client that cred describes.
func (t *Tokens) Get(ctx context.Context, cred credential.Credential) (secret.Value, error) {
	held, now := t.held(cred), t.cfg.Now()
	resting := held.failure != nil && now.Before(held.failed.Add(t.cfg.Backoff))
	switch {
	case now.Before(held.renew), now.Before(held.expires) && resting:
		return held.token, nil
	case now.Before(held.expires):
		t.ask(ctx, cred)
		return held.token, nil
	case resting:
		return secret.Value{}, held.failure
	}
	select {
	case result := <-t.ask(ctx, cred):
		if result.Err != nil {
			return secret.Value{}, result.Err
		}
		return result.Val.(secret.Value), nil
	case <-ctx.Done():
		return secret.Value{}, fault.New(fault.Timeout, "", "the caller's deadline passed before there was a token").Because(ctx.Err())
	}
}

// Doubt forgets token, where it is the one that is kept: the service did not take it.
func (t *Tokens) Doubt(token secret.Value) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept.token.Equal(token) {
		t.kept.token, t.kept.renew, t.kept.expires = secret.Value{}, time.Time{}, time.Time{}
	}
}

// Close lets go of the idle connections to the token endpoint.
func (t *Tokens) Close() { t.client.CloseIdleConnections() }

// held returns what is kept for cred. Versions alone would not do: a credential that is deleted and written
// again begins anew with the first.
func (t *Tokens) held(cred credential.Credential) issued {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept.by.Version != cred.Version || !t.kept.by.Fields.Equal(cred.Fields) {
		return issued{}
	}
	return t.kept
}

// ask puts the question, or joins those who wait for its answer. As with [credential.Cache], the flight is
// nobody's: the first caller's end must not fail the others.
func (t *Tokens) ask(ctx context.Context, cred credential.Credential) <-chan singleflight.Result {
	return t.flights.DoChan(fmt.Sprint(cred.Version), func() (any, error) {
		if held := t.held(cred); t.cfg.Now().Before(held.renew) {
			return held.token, nil // the last of many may come when the flight of the first has landed
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.cfg.Timeout)
		defer cancel()
		token, life, err := t.request(ctx, cred.Fields)
		t.land(cred, token, life, err)
		return token, err
	})
}

func (t *Tokens) land(cred credential.Credential, token secret.Value, life time.Duration, err error) {
	held, now := t.held(cred), t.cfg.Now()
	if err == nil {
		// What arrives in the last moment is late: a tenth, 30 s at most.
		held = issued{token: token, renew: now.Add(life * 2 / 3), expires: now.Add(life - min(life/10, 30*time.Second))}
	} else {
		t.cfg.Logger.Warn("no token from a service's authorization server", "credential", string(cred.Name), "error", err)
		held.failure, held.failed = err, now
	}
	held.by = cred
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = held
}
