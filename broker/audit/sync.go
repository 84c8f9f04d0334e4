package audit

import "time"

// With SyncInterval an fsync begins lag/4 after the first write that it covers, which leaves the rest for
// the disk.
const lag = 100 * time.Millisecond

// markDirty notes a write that began at that moment.
func (l *Log) markDirty(began time.Time) {
	if l.dirty.CompareAndSwap(0, l.moment(began)) {
		poke(l.wake)
	}
}

// moment is t on the monotonic clock, which the configured one need not be: a clock that is set back
// must not stretch the bound. It is never zero.
func (l *Log) moment(t time.Time) int64 { return int64(t.Sub(l.opened)) + 1 }

// behind is the age of the oldest write that is not known to be on the disk.
func (l *Log) behind() time.Duration {
	oldest := l.syncing.Load()
	if oldest == 0 {
		oldest = l.dirty.Load()
	}
	if oldest == 0 {
		return 0
	}
	return time.Duration(l.moment(time.Now()) - oldest)
}

// awaitSync holds back a write while an older one is not on the disk in time: otherwise a slow disk
// would turn "at most 100 ms" into a hope.
func (l *Log) awaitSync() error {
	if l.behind() <= lag {
		return nil
	}
	l.files.Lock()   // the fsync that is under way may do
	l.files.Unlock() //nolint:staticcheck // SA2001: to wait is all that is wanted
	if l.behind() <= lag {
		return nil
	}
	return l.sync()
}

// sync makes everything that was written before the call durable. After a failed fsync the kernel may
// have dropped the pages and the next fsync would succeed without them, so nothing is taken any more.
func (l *Log) sync() error {
	l.files.Lock()
	defer l.files.Unlock()
	if err := l.failed.Load(); err != nil {
		return err
	}
	since := l.dirty.Load()
	if since == 0 {
		return nil
	}
	l.syncing.Store(since) // first, so that behind never sees neither
	l.dirty.Store(0)       // a write that found dirty set was made before this, and is covered
	defer l.syncing.Store(0)
	began := time.Now()
	if err := l.seg.file.Sync(); err != nil {
		return l.fail("fsync "+l.seg.path, err)
	}
	l.cfg.Metrics.synced(time.Since(began))
	return nil
}

// syncer follows the writers with fsync; it sleeps while nothing is written.
func (l *Log) syncer() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.life.Done():
			return
		case <-l.wake:
		}
		timer.Reset(lag/4 - l.behind())
		select {
		case <-l.life.Done():
			return
		case <-timer.C:
			_ = l.watchSegment() // failures are kept in l.failed
			_ = l.sync()
		}
	}
}

// watchSegment notices a segment that was deleted or moved away. Until then nothing is lost, as the open
// file has it all; but when the process ends the file does, so this is looked at as often as the disk is
// waited for.
func (l *Log) watchSegment() error {
	l.files.Lock()
	there := l.seg.there()
	l.files.Unlock()
	if there {
		return nil
	}
	l.lead <- struct{}{}
	defer func() { <-l.lead }()
	return l.keepSegment()
}

// keepSegment puts a segment back that is not there. The caller holds lead.
func (l *Log) keepSegment() error {
	l.files.Lock()
	defer l.files.Unlock()
	if l.seg.there() {
		return nil
	}
	l.cfg.Logger.Error("audit: the segment was deleted or moved; putting it back", "file", l.seg.path)
	l.cfg.Metrics.restored()
	if err := l.seg.putBack(); err != nil {
		return l.fail("the segment "+l.seg.path+" is gone and cannot be put back", err)
	}
	return nil
}
