// Package cache keeps what was fetched from the credential broker, renews it ahead of its end, and
// serves it stale only within its budget.
package cache

import (
	"context"
	"time"
)

// Fetcher gets the value for a key from its source.
type Fetcher[K comparable, V any] interface {
	Fetch(ctx context.Context, key K) (Fetched[V], error)
}

// Fetched is a value with its life.
type Fetched[V any] struct {
	Value V
	// Expires ends the value; it is never served at or after this moment. Required.
	Expires time.Time
	// RenewAfter is when to fetch again; zero means two thirds of the life.
	RenewAfter time.Time
	// Stale is how long after its renewal came due the value may be served while the source is silent;
	// zero means not at all.
	Stale time.Duration
}

// Served is a value with where it came from.
type Served[V any] struct {
	Value   V
	From    From
	Fetched time.Time
	Expires time.Time
}

// From says how fresh a served value is.
type From uint8

// In the words of the proto's ServedFrom.
const (
	Live  From = iota // fetched for this very request
	Fresh             // from memory
	Stale             // from memory, while the source is silent
)

// Config bounds a Cache; the zero Config is good.
type Config struct {
	// Max is how many keys are kept; zero means 1024.
	Max int
	// Timeout bounds one fetch; zero means 10 s.
	Timeout time.Duration
}

// Cache is safe for concurrent use.
type Cache[K comparable, V any] struct{}

// New returns an empty Cache over f.
func New[K comparable, V any](f Fetcher[K, V], cfg Config) *Cache[K, V] { panic("not yet") }

// Get returns the value for key.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (Served[V], error) { panic("not yet") }
