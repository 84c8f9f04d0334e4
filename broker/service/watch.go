package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The times of a [Watcher]: together they stay below the second within which a change acts.
const (
	pollEvery   = 400 * time.Millisecond // for file systems that notify nobody
	settleAfter = 50 * time.Millisecond  // for writers that need more than one call
	patience    = 300 * time.Millisecond // for writers that never rest
)

// Config says which service files a [Watcher] reads.
type Config struct {
	// Dir is the directory of the service files; required.
	Dir string
	// Logger is told of changes and of refusals; nil discards.
	Logger *slog.Logger
	// Metrics counts them; nil counts nothing.
	Metrics *Metrics
}

// Watcher holds the Catalog of a directory, and reads it again when the directory changes.
type Watcher struct {
	cfg Config
	now atomic.Pointer[state]

	mu  sync.Mutex // serialises reloads
	err error      // why the last one was refused
}

// state is a Catalog and the channel that is closed when another one takes its place.
type state struct {
	catalog *Catalog
	next    chan struct{}
}

// Open reads the directory. Run keeps it read.
func Open(_ context.Context, cfg Config) (*Watcher, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := Load(cfg.Dir)
	if err != nil {
		return nil, err
	}
	w := &Watcher{cfg: cfg}
	w.now.Store(&state{catalog: c, next: make(chan struct{})})
	cfg.Metrics.loaded(c)
	return w, nil
}

// Current returns the Catalog in force.
func (w *Watcher) Current() *Catalog { return w.now.Load().catalog }

// Changed returns a channel that is closed when Current returns another Catalog. Take it before Current,
// so that no change falls between the two.
func (w *Watcher) Changed() <-chan struct{} { return w.now.Load().next }

// Err returns why the files as they stand are not in force, and nil when they are.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Run reads the directory again at every change until ctx ends. It returns nil then.
func (w *Watcher) Run(ctx context.Context) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil { // no more inotify instances, for one: polling is slower and does as well
		w.cfg.Logger.WarnContext(ctx, "service files: watching by polling only", "dir", w.cfg.Dir, "err", err)
		notify = &fsnotify.Watcher{} // whose channels never speak
	} else {
		defer func() { _ = notify.Close() }()
	}
	return w.watch(ctx, notify)
}

func (w *Watcher) watch(ctx context.Context, notify *fsnotify.Watcher) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	settle := time.NewTimer(0) // the directory may have changed between Open and Run
	defer settle.Stop()
	var seen string
	var since time.Time // the first thing that was heard and not yet looked at
	heard := func() {
		if since.IsZero() {
			since = time.Now()
		}
		settle.Reset(min(settleAfter, patience-time.Since(since)))
	}
	for {
		if notify.Events != nil { // again each time: the directory itself may be another one by now
			_ = notify.Add(w.cfg.Dir)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-notify.Events:
			heard()
		case <-notify.Errors: // events were lost; unread, it would stop those to come
			heard()
		case <-poll.C:
			if s := stamp(w.cfg.Dir); s != seen {
				seen = s
				heard()
			}
		case <-settle.C:
			since = time.Time{}
			w.reload(ctx)
		}
	}
}

// reload builds the new Catalog whole, and swaps one pointer when it holds.
func (w *Watcher) reload(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.now.Load()
	c, err := w.load(old.catalog)
	if err != nil {
		if w.err == nil || w.err.Error() != err.Error() {
			w.cfg.Logger.ErrorContext(ctx, "service files: refused; the old ones stay in force",
				"dir", w.cfg.Dir, "revision", old.catalog.Revision(), "err", err)
			w.cfg.Metrics.refused()
		}
		w.err = err
		return
	}
	w.err = nil
	if c.Revision() == old.catalog.Revision() {
		return
	}
	w.now.Store(&state{catalog: c, next: make(chan struct{})})
	close(old.next)
	w.cfg.Metrics.loaded(c)
	w.cfg.Logger.InfoContext(ctx, "service files: in force", "dir", w.cfg.Dir, "revision", c.Revision(), "services", len(c.all))
}

// load refuses a directory that lost all its files: a volume that went away looks so, and a team that
// withdraws its last service can leave an empty file behind.
func (w *Watcher) load(old *Catalog) (*Catalog, error) {
	files, err := readSettled(w.cfg.Dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 && len(old.all) > 0 {
		return nil, errors.New("service files: none left in " + w.cfg.Dir)
	}
	c, err := Parse(files)
	if err != nil {
		return nil, fmt.Errorf("service files: %w", err)
	}
	return c, nil
}
