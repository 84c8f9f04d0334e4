package audit

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// keeperTick is how often the keeper looks whether something is due.
const keeperTick = time.Second

// keeper does what is not on a caller's time: checkpoints, new segments, old segments, the reserve.
func (l *Log) keeper() {
	tick := time.NewTicker(min(keeperTick, l.cfg.CheckpointEvery))
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-l.life.Done():
			return
		case <-l.rotate:
			l.attempt("begin a segment", l.nextSegment)
		case <-tick.C:
			l.attempt("fill the reserve", l.refill)
			l.attempt("take the inbox", l.takeInbox)
			l.attempt("look for the segment", func(context.Context) error { return l.watchSegment() })
			l.attempt("begin a segment", l.nextSegment)
			if time.Since(last) >= l.cfg.CheckpointEvery {
				last = time.Now()
				l.attempt("sign a checkpoint", l.checkpoint)
				l.attempt("delete old segments", l.prune)
			}
		}
	}
}

// attempt tries again with the next tick when it fails; nothing that the keeper does is worth refusing
// grants for.
func (l *Log) attempt(what string, do func(context.Context) error) {
	if l.failed.Load() != nil {
		return
	}
	if err := do(l.life); err != nil && l.life.Err() == nil {
		l.cfg.Metrics.keeperFailed()
		l.cfg.Logger.Error("audit: "+what, slog.Any("error", err))
	}
}

// refill takes back what was released of the reserve once there is space.
func (l *Log) refill(context.Context) error {
	l.lead <- struct{}{}
	defer func() { <-l.lead }()
	l.cfg.Metrics.reserve(l.reserve)
	if !l.reserve.touched() {
		return nil
	}
	if err := l.reserve.refill(); err != nil {
		if noSpace(err) {
			return nil // it was said when it was touched
		}
		return err
	}
	l.cfg.Logger.Info("audit: there is space again; grants are taken")
	l.cfg.Metrics.reserve(l.reserve)
	return nil
}

// ended reports whether the segment is large or old enough. One without events is left as it is: an
// idle process makes no files. The caller holds lead.
func (l *Log) ended() bool {
	large := l.seg.size >= l.cfg.SegmentBytes
	old := l.cfg.Now().Sub(l.seg.began) >= l.cfg.SegmentAge
	return l.seg.events > 0 && (large || old)
}

// nextSegment signs the end of a segment that has ended and begins the next. Writers wait, so that the
// last line of a whole segment is a checkpoint that covers all of it; but not for a signer that does not
// answer, which is why the bulk is signed first, without the lead.
func (l *Log) nextSegment(ctx context.Context) error {
	l.lead <- struct{}{}
	ended := l.ended()
	<-l.lead
	if !ended {
		return nil
	}
	if err := l.checkpoint(ctx); err != nil {
		return err
	}
	l.lead <- struct{}{}
	defer func() { <-l.lead }()
	if err := l.sealEnd(ctx); err != nil {
		return err
	}
	next, err := createSegment(l.cfg.Dir, l.seg.number+1, &l.at, l.cfg.Now())
	if err != nil {
		return err
	}
	l.files.Lock()
	defer l.files.Unlock()
	old := l.seg
	l.seg = next
	return old.file.Close()
}

// sealEnd signs what was written since the last checkpoint. The caller holds lead.
func (l *Log) sealEnd(ctx context.Context) error {
	if !l.unsigned() {
		return nil
	}
	s, err := l.seal(ctx, l.at)
	if err != nil {
		return err
	}
	line, err := l.place(s)
	if err != nil {
		return err
	}
	return l.publish(line)
}

// prune deletes segments whose last entry is older than they are kept. The entry that says so is
// durable before the first file goes, so that Verify can tell them from stolen ones.
func (l *Log) prune(ctx context.Context) error {
	if l.cfg.Keep == 0 {
		return nil
	}
	old, err := l.outdated()
	if err != nil || len(old) == 0 {
		return err
	}
	through := old[len(old)-1]
	l.lead <- struct{}{}
	err = l.writeOwn(l.own(KindPrune).count("through", through))
	<-l.lead
	if err != nil {
		return err
	}
	if err := l.checkpoint(ctx); err != nil {
		return err
	}
	for _, n := range old {
		if err := os.Remove(filepath.Join(l.cfg.Dir, segmentName(n))); err != nil {
			return err
		}
	}
	l.cfg.Logger.Info("audit: deleted old segments", "through", segmentName(through))
	return syncDir(l.cfg.Dir)
}

// outdated returns the numbers of the segments to delete. A segment's last entry is as old as the first
// line of the one after it; the file's own time is anybody's to set.
func (l *Log) outdated() (old []uint64, err error) {
	segments, err := segmentsOf(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(segments); i++ {
		first, err := firstEntry(filepath.Join(l.cfg.Dir, segmentName(segments[i])))
		if err != nil {
			return nil, err
		}
		if l.cfg.Now().Sub(first.Time) < l.cfg.Keep {
			break
		}
		old = append(old, segments[i-1])
	}
	return old, nil
}
