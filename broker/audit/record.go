package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// maxPending is how many entries may wait for a disk that has stopped.
const maxPending = 1 << 14

// standing says how much of the reserve an entry may use.
type standing uint8

const (
	grant  standing = iota // none: an act must not begin
	denial                 // half of it
	other                  // all of it: an outcome, or the log's own
)

// item is one entry on its way into the file.
type item struct {
	fields   fields
	standing standing
	err      error // why it is not in the log; valid when the batch is done
}

// batch is what is written together.
type batch struct {
	items []*item
	done  chan struct{}
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// Record writes e and returns when it is as safe as the log is configured to make it. When it returns
// an error the entry may still be there (the caller's ctx ended, say), but nothing may be done in its name.
func (l *Log) Record(ctx context.Context, e Event) error {
	began := time.Now()
	it, err := l.prepare(&e)
	if err != nil {
		return err
	}
	err = l.submit(ctx, it)
	l.cfg.Metrics.recorded(e.Kind, err, time.Since(began))
	return err
}

func (l *Log) prepare(e *Event) (*item, error) {
	it, _ := l.pool.Get().(*item)
	if it == nil {
		it = new(item)
	}
	*it = item{fields: it.fields[:0], standing: other}
	switch {
	case e.Kind == KindDecision && e.Allow:
		it.standing = grant
	case e.Kind == KindDecision:
		it.standing = denial
	case e.Kind != KindOutcome && e.Kind != KindAdmin:
		return nil, fmt.Errorf("audit: an event cannot be of kind %q", e.Kind)
	}
	if e.Time.IsZero() {
		e.Time = l.cfg.Now()
	}
	it.fields = it.fields.event(e)
	return it, nil
}

// submit lets it join the batch that is next, and either waits until somebody has written that or
// writes it.
func (l *Log) submit(ctx context.Context, it *item) error {
	if ctx.Err() != nil { // select would toss a coin
		return late(ctx)
	}
	b, err := l.join(it)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
	case l.lead <- struct{}{}:
		l.commit(b)
	default: // somebody is writing: only now does the caller's patience matter
		if err := l.await(ctx, b); err != nil {
			return err
		}
	}
	if err := it.err; err != nil {
		return err
	}
	l.pool.Put(it)
	return nil
}

// await returns when b is written, by somebody else or by us.
func (l *Log) await(ctx context.Context, b *batch) error {
	select {
	case <-b.done:
	case l.lead <- struct{}{}:
		l.commit(b)
	case <-ctx.Done():
		return late(ctx)
	}
	return nil
}

func late(ctx context.Context) error {
	return fault.New(fault.Timeout, ReasonSlow, "the audit log did not answer in time").Because(context.Cause(ctx))
}

func (l *Log) join(it *item) (*batch, error) {
	if err := l.failed.Load(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, fault.New(fault.Unavailable, ReasonClosed, "the audit log is closed")
	case len(l.pending.items) >= maxPending:
		return nil, fault.New(fault.Unavailable, ReasonSlow, "the audit log is behind")
	}
	l.pending.items = append(l.pending.items, it)
	return l.pending, nil
}

// commit writes b unless another leader has, and gives the lead away, which the caller holds.
func (l *Log) commit(b *batch) {
	defer func() { <-l.lead }()
	l.mu.Lock()
	mine := b == l.pending
	if mine {
		l.pending = newBatch()
	}
	l.mu.Unlock()
	if !mine {
		return
	}
	if err := l.writeBatch(b.items); err != nil {
		for _, it := range b.items {
			it.err = err
		}
	}
	close(b.done)
}

// writeBatch writes what may be written and makes it as safe as configured. Items that may not carry
// their own error.
func (l *Log) writeBatch(items []*item) error {
	if err := l.failed.Load(); err != nil {
		return err
	}
	if err := l.awaitSync(); err != nil {
		return err
	}
	if l.cfg.Sync == SyncAlways {
		if err := l.keepSegment(); err != nil {
			return err
		}
	}
	l.cfg.Metrics.batch(len(items))
	before := l.at.seq
	if err := l.append(items); err != nil {
		return err
	}
	l.seg.events += l.at.seq - before
	if l.cfg.Sync == SyncAlways {
		return l.sync()
	}
	return nil
}

// append writes the items that the reserve admits, and on a full disk takes from the reserve what those
// need that may have it.
func (l *Log) append(items []*item) error {
	for {
		next, lines := l.lines(items)
		if len(lines) == 0 {
			return nil
		}
		began := time.Now()
		damaged, err := l.seg.write(lines)
		switch {
		case err == nil:
			l.at = next
			l.written(began)
			return nil
		case damaged || !noSpace(err):
			return l.fail("write "+l.seg.path, err)
		case !l.reserve.release(int64(len(lines))):
			return full(err)
		}
		l.cfg.Logger.Error("audit: the disk is full; grants are refused", "dir", l.cfg.Dir, "reserve", l.reserve.held.Load())
	}
}

// lines renders the items that may be written now; the others get their error.
func (l *Log) lines(items []*item) (chain, []byte) {
	next, out := l.at, l.out[:0]
	for _, it := range items {
		it.err = nil
		if !l.reserve.admits(it.standing) {
			it.err = full(errors.New("the reserve is touched"))
			continue
		}
		out = next.add(out, it.fields)
	}
	l.out = out
	return next, out
}

func (l *Log) written(began time.Time) {
	l.markDirty(began)
	if l.seg.size >= l.cfg.SegmentBytes {
		poke(l.rotate)
	}
}

func full(cause error) *fault.Error {
	return fault.New(fault.Unavailable, ReasonFull, "the audit log is full").Because(cause)
}

// own begins an entry of the log itself.
func (l *Log) own(k Kind) fields { return fields{}.time("time", l.cfg.Now()).text("kind", string(k)) }

// writeOwn writes an entry of the log itself. The caller holds lead, or is Open.
func (l *Log) writeOwn(f fields) error {
	it := &item{fields: f, standing: other}
	return errors.Join(l.append([]*item{it}), it.err)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
