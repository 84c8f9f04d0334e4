package policy

import (
	"context"
	"log/slog"
	"time"
)

// Config is what an [Engine] needs.
type Config struct {
	// Dir holds the policy: *.csv, and a model.conf where the shipped one is not wanted. Required.
	Dir string
	// History is a directory for the files of the last revisions, so that a recorded decision can be
	// explained after a restart. Empty keeps them in memory only.
	History string
	// Keep is how many revisions are kept; 0 means 20.
	Keep int
	// Poll is how often the directory is read although nothing was heard of it; 0 means 10 s.
	Poll time.Duration
	// Logger is told of reloads; nil discards.
	Logger *slog.Logger
	// Metrics count; nil counts nothing.
	Metrics *Metrics
}

// Engine holds the current policy of a directory and follows its changes.
type Engine struct{}

// Open loads the policy. A policy that is refused is an error here; later it is logged and the old stays.
func Open(ctx context.Context, c Config) (*Engine, error) { panic("not yet") }

// Current returns the policy that decides now.
func (e *Engine) Current() *Snapshot { panic("not yet") }

// At returns the policy of a revision, while it is kept.
func (e *Engine) At(revision string) (*Snapshot, bool) { panic("not yet") }

// Changed returns a channel that is closed when the policy changes next.
func (e *Engine) Changed() <-chan struct{} { panic("not yet") }

// Custom reports whether an operator's own model decides.
func (e *Engine) Custom() bool { panic("not yet") }

// Run follows the directory until ctx ends.
func (e *Engine) Run(ctx context.Context) error { panic("not yet") }

// Decide implements [Decider] with the current policy.
func (e *Engine) Decide(ctx context.Context, r Request) (Decision, error) { panic("not yet") }

// Explain explains with the current policy.
func (e *Engine) Explain(ctx context.Context, r Request) (Explanation, error) { panic("not yet") }
