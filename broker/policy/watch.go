package policy

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long a directory has to be quiet: an editor writes a file in several steps.
	settle = 100 * time.Millisecond
	// patience is how long a directory that is never quiet is waited for.
	patience = 500 * time.Millisecond

	pollAnyway = 10 * time.Second
	pollAlone  = time.Second
)

// Run follows the directory until ctx ends. It watches the directory, not the files: editors replace
// files, and Kubernetes swaps the symbolic link `..data` that a ConfigMap's files point through. It reads
// it now and then all the same, since not every file system tells of changes, and believes neither: what
// counts is whether the content's hash changed.
func (e *Engine) Run(ctx context.Context) error {
	dir, err := filepath.Abs(e.config.Dir)
	if err != nil {
		return err
	}
	w := newWatch(dir)
	defer w.close()
	if w.notify == nil {
		e.log.WarnContext(ctx, "policy directory is polled, since the system cannot watch it", "dir", e.config.Dir, "error", w.err)
	}
	poll := time.NewTicker(e.config.poll(w))
	defer poll.Stop()
	_ = e.reload(ctx) // what changed since Open
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
			w.settle(ctx) // somebody may be writing at this very moment
		case event := <-w.events():
			if !w.concerns(event) {
				continue
			}
			w.settle(ctx)
		case <-w.errors(): // events were lost
		}
		w.renew()         // first, so that no change falls between reading and watching
		_ = e.reload(ctx) // it has logged what is wrong, and the old policy stays
	}
}

func (c Config) poll(w *watch) time.Duration {
	switch {
	case c.Poll > 0:
		return c.Poll
	case w.notify == nil:
		return pollAlone
	}
	return pollAnyway
}

// watch is fsnotify on a directory and on its parent, which tells when the directory itself is replaced.
type watch struct {
	dir    string
	notify *fsnotify.Watcher
	err    error
}

func newWatch(dir string) *watch {
	w := &watch{dir: dir}
	if w.notify, w.err = fsnotify.NewWatcher(); w.err != nil {
		return w
	}
	if w.err = w.notify.Add(w.dir); w.err != nil {
		w.close()
		w.notify = nil
		return w
	}
	_ = w.notify.Add(filepath.Dir(w.dir)) // a parent that we may not read is polled for
	return w
}

func (w *watch) close() {
	if w.notify != nil {
		_ = w.notify.Close()
	}
}

// renew watches the directory that has the name now. Adding alone would not do: the watcher takes the old
// directory's farewell for the new one's and lets go of both.
func (w *watch) renew() {
	if w.notify != nil {
		_ = w.notify.Remove(w.dir)
		_ = w.notify.Add(w.dir)
	}
}

// events and errors return channels that never speak where the system cannot watch.

func (w *watch) events() <-chan fsnotify.Event {
	if w.notify == nil {
		return nil
	}
	return w.notify.Events
}

func (w *watch) errors() <-chan error {
	if w.notify == nil {
		return nil
	}
	return w.notify.Errors
}

func (w *watch) concerns(e fsnotify.Event) bool {
	return e.Name == w.dir || filepath.Dir(e.Name) == w.dir
}

// settle waits until nothing more is heard.
func (w *watch) settle(ctx context.Context) {
	quiet, enough := time.NewTimer(settle), time.NewTimer(patience)
	defer quiet.Stop()
	defer enough.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			return
		case <-enough.C:
			return
		case e := <-w.events():
			if w.concerns(e) {
				quiet.Reset(settle)
			}
		case <-w.errors():
		}
	}
}
