package policy

import (
	"context"
	"fmt"
)

// OpenArchive returns an Engine whose policy is handed to it: first the archive of an [Engine.Archive]
// elsewhere, and later others by [Engine.Load]. It has no directory, so there is nothing for Run to follow.
func OpenArchive(ctx context.Context, c Config, revision string, archive []byte) (*Engine, error) {
	e := &Engine{config: c, log: c.logger(), history: &history{dir: c.History, keep: c.keep()}}
	if err := e.Load(ctx, revision, archive); err != nil {
		return nil, err
	}
	return e, nil
}

// Load puts the policy of an archive in force, if it is the one that revision names and holds. Otherwise the
// old one stays.
func (e *Engine) Load(ctx context.Context, revision string, archive []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.current.Load()
	if old != nil && old.snapshot.revision == revision {
		return nil
	}
	src := unarchive(archive)
	if got := src.revision(); got != revision {
		return e.refuse(ctx, revision, fmt.Errorf("policy: the archive of revision %s comes to %s", revision, got))
	}
	s, err := compile(src)
	if err != nil {
		return e.refuse(ctx, revision, err)
	}
	e.swap(ctx, old, s, src)
	return nil
}

// Archive returns the policy in force as one text, and its revision.
func (e *Engine) Archive() (revision string, archive []byte, err error) {
	revision = e.Current().revision
	src, ok := e.history.get(revision)
	if !ok {
		return revision, nil, fmt.Errorf("policy: revision %s is not kept", revision)
	}
	return revision, src.archive(), nil
}
