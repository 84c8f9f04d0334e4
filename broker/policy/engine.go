package policy

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
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
	// Poll is how often the directory is read although nothing was heard of it; 0 means 10 s, and 1 s where
	// the system cannot tell of changes.
	Poll time.Duration
	// Logger is told of reloads; nil discards.
	Logger *slog.Logger
	// Metrics count; nil counts nothing.
	Metrics *Metrics
}

func (c Config) keep() int {
	if c.Keep <= 0 {
		return 20
	}
	return c.Keep
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// Engine holds the current policy of a directory and follows its changes: a changed policy is built as a
// whole and checked before it takes the old one's place, and where it is refused the old one stays.
type Engine struct {
	config  Config
	log     *slog.Logger
	history *history
	current atomic.Pointer[generation]

	mu      sync.Mutex // one reload at a time
	refused string     // the revision that was refused last, so that it is logged once
}

// generation is a Snapshot and the channel that closes when it has been replaced.
type generation struct {
	snapshot *Snapshot
	over     chan struct{}
}

// Open loads the policy. A policy that is refused is an error here; later it is logged and the old stays.
func Open(ctx context.Context, c Config) (*Engine, error) {
	if c.Dir == "" {
		return nil, errors.New("policy: no directory is configured")
	}
	e := &Engine{config: c, log: c.logger(), history: &history{dir: c.History, keep: c.keep()}}
	if err := e.reload(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// Current returns the policy that decides now.
func (e *Engine) Current() *Snapshot { return e.current.Load().snapshot }

// At returns the policy of a revision, while it is kept.
func (e *Engine) At(revision string) (*Snapshot, bool) {
	if s := e.Current(); s.revision == revision {
		return s, true
	}
	src, ok := e.history.get(revision)
	if !ok {
		return nil, false
	}
	return recompile(src, revision)
}

// Changed returns a channel that is closed when the policy changes next. Ask for it before [Engine.Current],
// so that no change falls between the two.
func (e *Engine) Changed() <-chan struct{} { return e.current.Load().over }

// Custom reports whether an operator's own model decides.
func (e *Engine) Custom() bool { return e.Current().Custom() }

// Decide implements [Decider] with the current policy.
func (e *Engine) Decide(ctx context.Context, r Request) (Decision, error) {
	d, err := e.Current().Decide(ctx, r)
	e.config.Metrics.decided(&d, err)
	if d.Err != nil {
		e.log.WarnContext(ctx, "condition failed", "rule", place(d.Rule), "error", d.Err)
	}
	return d, err
}

// MayDeny is [Snapshot.MayDeny] of the current policy.
func (e *Engine) MayDeny(action string) bool { return e.Current().MayDeny(action) }

// Explain explains with the current policy.
func (e *Engine) Explain(ctx context.Context, r Request) (Explanation, error) {
	return e.Current().Explain(ctx, r)
}

// reload reads the directory and, where it changed, puts the new policy in the old one's place.
func (e *Engine) reload(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	src, err := readWhole(os.DirFS(e.config.Dir))
	if err != nil {
		return e.refuse(ctx, err.Error(), asProblems(err))
	}
	revision, old := src.revision(), e.current.Load()
	if old != nil && old.snapshot.revision == revision {
		e.refused = ""
		return nil
	}
	s, err := compile(src)
	if err != nil {
		return e.refuse(ctx, revision, err)
	}
	e.swap(ctx, old, s, src)
	return nil
}

func (e *Engine) swap(ctx context.Context, old *generation, s *Snapshot, src source) {
	e.refused = ""
	if err := e.history.add(s.revision, src); err != nil {
		e.log.WarnContext(ctx, "policy revision not kept", "revision", s.revision, "error", err)
	}
	e.current.Store(&generation{snapshot: s, over: make(chan struct{})})
	e.config.Metrics.loaded(s)
	e.log.InfoContext(ctx, "policy loaded", "dir", e.config.Dir, "revision", s.revision, "rules", s.Rules())
	for _, f := range s.findings {
		if f.ID == FindingOwnModel {
			e.log.WarnContext(ctx, "an operator's own model decides, slower than the shipped one", "dir", e.config.Dir, "warning", f.String())
			continue
		}
		e.log.WarnContext(ctx, "policy warning", "warning", f.String())
	}
	if old != nil {
		close(old.over)
	}
}

// refuse says once what is wrong with the policy called mark, and that the old one stays.
func (e *Engine) refuse(ctx context.Context, mark string, err error) error {
	err = inDir(e.config.Dir, err)
	if e.refused == mark || e.current.Load() == nil {
		return err
	}
	e.refused = mark
	e.config.Metrics.refuse()
	e.log.ErrorContext(ctx, "policy refused, the old one stays", "dir", e.config.Dir, "revision", e.Current().revision, "error", err)
	return err
}
