package keyring

import (
	"cmp"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Publisher is where replicas tell each other their public keys. Whoever may write there may sign for all
// of us: it is guarded as the credentials are.
type Publisher interface {
	// Publish puts k, in the place of what stood under its ID.
	Publish(ctx context.Context, k PublicKey) error
	// Keys returns all that were published. What it cannot read it leaves out.
	Keys(ctx context.Context) ([]PublicKey, error)
	// Remove removes the key with that ID; that it is gone already is no error.
	Remove(ctx context.Context, id string) error
}

// Config configures a Ring. The zero Config is a ring for one process alone.
type Config struct {
	// Publisher is the shared store; nil means this process alone.
	Publisher Publisher
	// Algorithm is ES256 or EdDSA; empty means ES256.
	Algorithm string
	// Rotate is how long a key signs before the next one takes over; 0 means 24 h.
	Rotate time.Duration
	// TokenLife is the longest life of a token, which Sign holds; 0 means 5 min.
	TokenLife time.Duration
	// MaxAge is how long verifiers may keep the JWK set; 0 means 60 s.
	MaxAge time.Duration
	// Poll is how often the shared store is asked for the keys of others; 0 means 10 s.
	Poll time.Duration
	// Timeout bounds one talk with the shared store; 0 means 5 s.
	Timeout time.Duration
	// Replica is who we are, for people; empty means the host's name.
	Replica string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil means discard.
	Logger *slog.Logger
	// Metrics counts; nil means nobody does.
	Metrics *Metrics
}

// skew is how far the clocks of replicas and verifiers may be apart.
const skew = time.Minute

func (cfg Config) withDefaults() (Config, error) {
	cfg.Algorithm = cmp.Or(cfg.Algorithm, ES256)
	cfg.Rotate = cmp.Or(cfg.Rotate, 24*time.Hour)
	cfg.TokenLife = cmp.Or(cfg.TokenLife, 5*time.Minute)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, time.Minute)
	cfg.Poll = cmp.Or(cfg.Poll, 10*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	if host, err := os.Hostname(); cfg.Replica == "" && err == nil {
		cfg.Replica = host
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if lead := cfg.lead(); cfg.Rotate < lead {
		return cfg, fmt.Errorf("keyring: keys rotate every %v, but each must be known for %v before it signs", cfg.Rotate, lead)
	}
	return cfg, nil
}

// lead is how long a key is known before it signs.
func (cfg Config) lead() time.Duration { return cfg.MaxAge + cfg.Poll }

// Ring holds this replica's signing keys, and the public keys of all replicas.
type Ring struct {
	cfg     Config
	current atomic.Pointer[snapshot]

	mu      sync.Mutex // one turn at a time
	active  *signingKey
	next    *signingKey // nil: not yet made
	retired []*signingKey
	peers   []peer    // as the store said last
	strange int       // entries of the store that are no keys of ours: logged once, not with every poll
	away    error     // why the store did not answer last
	last    time.Time // when the last turn began
}

// Open makes a key, publishes its public half if the shared store answers, and reads those of the others.
// Where there are others it returns when they serve the key too. A store that does not answer is no
// error: see [Ring.Ready].
func Open(ctx context.Context, cfg Config) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Ring{cfg: cfg}
	if r.active, err = r.generate(); err != nil {
		return nil, err
	}
	r.turn(ctx)
	if until := r.current.Load().settled; !until.IsZero() {
		wait(ctx, until.Sub(r.cfg.Now()))
	}
	return r, nil
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Run rotates and polls until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	for {
		wait(ctx, r.pause())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.turn(ctx)
	}
}

// pause is how long the shared store is left alone: while it is away only briefly, since nobody knows our
// keys until it is back.
func (r *Ring) pause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away != nil {
		return min(fresh, r.cfg.Poll)
	}
	return r.cfg.Poll
}

const (
	// fresh is how old an answer of the shared store may be when a verifier asks for the keys.
	fresh = time.Second
	// settle is how long after its publication a key is in what every other replica serves to who asks:
	// each of them reads the store again by then, after fresh for a verifier or after a pause of as long.
	settle = 2 * fresh
)

// Refresh asks the shared store again when its last answer is older than a second. A verifier that meets
// the first token of a replica asks for the keys once and then not again for a while: what it gets must
// have the new key in it. While the store is away, or another caller is asking, Refresh does nothing.
func (r *Ring) Refresh(ctx context.Context) {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if r.away == nil && r.cfg.Now().Sub(r.last) >= fresh {
		r.takeTurn(ctx)
	}
}

// Sign signs claims, which encode as a JSON object with an exp at most TokenLife ahead, under the JOSE
// header typ, and returns the compact form (RFC 7515, section 3.1).
func (r *Ring) Sign(_ context.Context, typ string, claims any) (secret.Value, error) {
	return r.signed(typ, claims, r.checkLife)
}

// SignReply signs what is said to one who has just asked, such as an introspection response. It encodes as
// a JSON object without an exp, so that nothing that wants one takes it for a token (RFC 9701, section
// 8.1). Its reader verifies it when it comes; the key stays known for another TokenLife.
func (r *Ring) SignReply(_ context.Context, typ string, claims any) (secret.Value, error) {
	return r.signed(typ, claims, checkReply)
}

func (r *Ring) signed(typ string, claims any, check func(payload []byte) error) (secret.Value, error) {
	token, err := r.sign(typ, claims, check)
	r.cfg.Metrics.signed(err)
	if err != nil {
		return secret.Value{}, fault.New(fault.Internal, "", "the token cannot be signed").Because(err)
	}
	return secret.New(token), nil
}

func (r *Ring) sign(typ string, claims any, check func(payload []byte) error) ([]byte, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	if err := check(payload); err != nil {
		return nil, err
	}
	key := r.current.Load().active
	head, err := json.Marshal(joseHeader{Alg: key.alg, Kid: key.id, Typ: typ})
	if err != nil {
		return nil, err
	}
	b64 := base64.RawURLEncoding
	token := make([]byte, 0, b64.EncodedLen(len(head))+1+b64.EncodedLen(len(payload))+1+b64.EncodedLen(signatureBytes))
	token = append(b64.AppendEncode(token, head), '.')
	token = b64.AppendEncode(token, payload)
	signature, err := key.sign(string(token))
	if err != nil {
		return nil, err
	}
	return b64.AppendEncode(append(token, '.'), signature), nil
}

type joseHeader struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// JWKS returns the public keys of all replicas as a JWK set (RFC 7517, section 5), and its entity tag
// with the quotes (RFC 9110, section 8.8.3).
func (r *Ring) JWKS() (set []byte, etag string) {
	s := r.current.Load()
	return s.jwks, s.etag
}

// Lookup returns the public key of that kid and its algorithm.
func (r *Ring) Lookup(kid string) (key crypto.PublicKey, alg string, ok bool) {
	k, ok := r.current.Load().keys[kid]
	return k.key, k.alg, ok
}

// Ready says that the other replicas may not serve our key yet, or nil.
func (r *Ring) Ready() error {
	s := r.current.Load()
	if s.ready == nil && r.cfg.Now().Before(s.settled) {
		return errUnsettled
	}
	return s.ready
}

var errUnsettled = errors.New("keyring: the other replicas may not serve our signing key yet")
