// Package keyring signs what we say.
package keyring

import (
	"context"
	"crypto"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/secret"
)

// PublicKey is the public half of a signing key, as replicas tell each other.
type PublicKey struct {
	// ID is the kid: the RFC 7638 thumbprint of the key.
	ID string
	// JWK is the key as a JSON Web Key (RFC 7517).
	JWK []byte
	// Until is when the last token that it signed is dead.
	Until time.Time
	// Replica is who signs with it; for people, nothing depends on it.
	Replica string
}

// Slug returns the name under which a store with narrow names ([a-z0-9]) keeps the key: kids differ in
// case, names of credentials do not.
func Slug(kid string) string { return "" }

// Encode returns k as JSON, for one field of a store. [DecodePublicKey] reads it.
func (k PublicKey) Encode() []byte { return nil }

// DecodePublicKey reads what Encode wrote. It says nothing of the key itself: the Ring checks that.
func DecodePublicKey(data []byte) (PublicKey, error) { return PublicKey{}, nil }

// Publisher is where replicas tell each other their public keys.
type Publisher interface {
	// Publish puts k, in the place of what stood under its ID.
	Publish(ctx context.Context, k PublicKey) error
	// Keys returns all that were published.
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
	// MaxAge is how long verifiers may keep the JWKS; 0 means 60 s.
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

// Metrics of a Ring. A nil *Metrics counts nothing.
type Metrics struct{}

// NewMetrics returns Metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics { return &Metrics{} }

// Ring holds this replica's signing key, and the public keys of all replicas.
type Ring struct{ cfg Config }

// Open makes a key, publishes its public half if the shared store answers, and reads those of the others.
// A store that does not answer is no error: see [Ring.Ready].
func Open(ctx context.Context, cfg Config) (*Ring, error) { return &Ring{cfg: cfg}, nil }

// Run rotates and polls until ctx ends.
func (r *Ring) Run(ctx context.Context) error { panic("not yet") }

// Sign signs claims, which encode as a JSON object with an exp at most TokenLife ahead, under the JOSE
// header typ, and returns the compact form.
func (r *Ring) Sign(ctx context.Context, typ string, claims any) (secret.Value, error) {
	panic("not yet")
}

// JWKS returns the public keys of all replicas as a JWK set (RFC 7517, section 5), and its entity tag.
func (r *Ring) JWKS() (set []byte, etag string) { panic("not yet") }

// Lookup returns the public key of that kid and its algorithm.
func (r *Ring) Lookup(kid string) (key crypto.PublicKey, alg string, ok bool) { panic("not yet") }

// Ready says that the other replicas do not know our key yet, or nil.
func (r *Ring) Ready() error { panic("not yet") }
