package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/redis"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// openStore opens what gateways share, and the ring that seals it.
func (p *parts) openStore(ctx context.Context) error {
	s := p.cfg.Sessions
	if s.Redis == nil {
		p.store, p.logins = session.NewMemory(nil), login.NewMemory(nil)
		return p.openKeys(ctx, nil)
	}
	opened, err := dialStore(ctx, p.secrets, s)
	if err != nil {
		return err
	}
	p.keys, p.ring, p.store = opened.keys, opened.ring, opened.store
	p.vouch.set(p.keys)
	p.onClose(opened.store.Close)
	plain, err := kv.Open(*s.Redis, opened.dial)
	if err != nil {
		return fmt.Errorf("sessions.redis: %w", err)
	}
	p.onClose(plain.Close)
	p.logins = login.NewShared(plain)
	p.followers = append(p.followers, p.followKeys)
	p.checks["sessions"] = func() error { return sessionsReady(opened.store, p.sessions) }
	return p.openKeys(ctx, plain)
}

// sessionsReady asks for what a request needs. A server that only reads is no reason to take a gateway away: who is logged
// in is served, and the others have the same server. It is one where this gateway has heard of a logout that it cannot
// store: until then it serves nobody.
func sessionsReady(store *redis.Store, sessions *session.Manager) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := store.Ready(ctx)
	if !kv.ReadOnly(err) {
		return err
	}
	if err := sessions.Settle(ctx); err != nil {
		return fmt.Errorf("nobody is served before a logout is stored: %w", err)
	}
	return telemetry.Impaired(fmt.Errorf("who is logged in is served while the tokens last, and nobody can log in: %w", err))
}

// dialled is a store in Redis with what it was opened with.
type dialled struct {
	dial  kv.Options
	keys  []secret.Value
	ring  *session.Ring
	store *redis.Store
}

func dialStore(ctx context.Context, from *secrets, s Sessions) (d dialled, err error) {
	if d.dial, err = dialOptions(ctx, from, *s.Redis); err != nil {
		return d, err
	}
	if d.keys, err = from.sealingKeys(ctx, s.Keys); err != nil {
		return d, err
	}
	if d.ring, err = session.NewRing(d.keys...); err != nil {
		return d, fmt.Errorf("sessions.keys: %w", err)
	}
	if d.store, err = redis.Open(*s.Redis, redis.Options{Dial: d.dial, Ring: d.ring}); err != nil {
		return d, fmt.Errorf("sessions.redis: %w", err)
	}
	return d, nil
}

// dialOptions reads the passwords.
func dialOptions(ctx context.Context, from *secrets, c kv.Config) (o kv.Options, err error) {
	if o.Password, err = from.read(ctx, c.Password); err != nil {
		return o, fmt.Errorf("sessions.redis.password: %w", err)
	}
	if o.SentinelPassword, err = from.read(ctx, c.Sentinel.Password); err != nil {
		return o, fmt.Errorf("sessions.redis.sentinel.password: %w", err)
	}
	return o, nil
}

// openKeys makes the key for private_key_jwt, where it may be used.
func (p *parts) openKeys(ctx context.Context, store *kv.Client) (err error) {
	if !p.cfg.Provider.offersKey() {
		return nil
	}
	if p.own, err = openClientKeys(ctx, store, &p.vouch); err != nil {
		return fmt.Errorf("provider: publishing our key: %w", err)
	}
	p.followers = append(p.followers, p.own.Run)
	p.checks["client_keys"] = p.own.Ready
	return nil
}

// openProvider asks the provider who it is. One that does not answer is asked again by its follower.
func (p *parts) openProvider(ctx context.Context) error {
	var own *provider.Assertions
	if p.own != nil {
		own = p.own.own
	}
	// A secret that cannot be read is noticed now, and not when somebody has typed a password.
	if err := readable(ctx, p.cfg.Provider.Secret); err != nil {
		return fmt.Errorf("provider.secret: %w", err)
	}
	cfg, err := p.cfg.Provider.client(p.identity.FetchJWTSVID, own, p.secrets)
	if err != nil {
		return err
	}
	cfg.Logger = p.log()
	if p.provider, err = provider.Open(ctx, cfg); err != nil {
		return err
	}
	p.followers = append(p.followers, p.provider.Run)
	p.checks["provider"] = func() error {
		if err := p.provider.Ready(); err != nil {
			return err
		}
		return telemetry.Impaired(p.provider.Standing()) // who is logged in is served without it
	}
	if p.own != nil {
		p.followers = append(p.followers, p.own.introduce(p.provider, p.cfg.URL(p.cfg.Origins[0], "/callback"), p.log()))
	}
	return nil
}

// svidFetcher fetches a JWT-SVID whose only audience is the given one.
type svidFetcher = func(ctx context.Context, audience string) (*jwtsvid.SVID, error)

// client is who we are to the provider.
func (p Provider) client(svid svidFetcher, own *provider.Assertions, from *secrets) (provider.Config, error) {
	roots, err := authorities(p.CA)
	if err != nil {
		return provider.Config{}, fmt.Errorf("provider.ca: %w", err)
	}
	return provider.Config{
		Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes, Auth: p.auth(svid, own, from), PAR: p.PAR, DPoP: p.DPoP, RootCAs: roots,
		LenientLogout: p.LenientLogout,
	}, nil
}

// auth is what we can prove ourselves with.
func (p Provider) auth(svid svidFetcher, own *provider.Assertions, from *secrets) (auth provider.Auth) {
	if p.offersSVID() {
		auth.SVID = svid
	}
	auth.Assertions = own
	if !p.Secret.IsZero() {
		auth.Secret = func(ctx context.Context) (secret.Value, error) { return from.read(ctx, p.Secret) }
	}
	switch p.Auth { // written out, so no metadata have to announce it; of the two forms of a secret they choose
	case authSVID:
		auth.Method = provider.BySVID
	case authKey:
		auth.Method = provider.ByPrivateKey
	}
	return auth
}

func (p *parts) openSessions(ctx context.Context) error {
	s := p.cfg.Sessions
	p.sessions = session.New(session.Config{
		Store: p.store, Absolute: s.Absolute.Std(), Idle: s.Idle.Std(), Log: p.log(),
		Orphaned: func(s session.Session) { p.revoke(context.WithoutCancel(ctx), s) },
	})
	p.followers = append(p.followers, p.sessions.Run, func(ctx context.Context) error { return p.provider.Watch(ctx, p.sessions.Retry) })
	return nil
}

// revokeTimeout bounds what nobody waits for.
const revokeTimeout = 10 * time.Second

// revoke takes back the tokens of a session that ended while they were on their way.
func (p *parts) revoke(ctx context.Context, s session.Session) {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	if s.Tokens.Refresh.IsZero() {
		return
	}
	if err := p.provider.Revoke(ctx, s.Tokens.Refresh); err != nil {
		p.log().WarnContext(ctx, "the refresh token of an ended session is left to its end at the provider", "error", err)
	}
}
