package audit

import "time"

// With SyncInterval an fsync begins lag/2 after the first write that it covers, which leaves the other
// half for the disk.
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
	for l.behind() > lag {
		if err := l.sync(); err != nil {
			return err
		}
	}
	return nil
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
		return l.fail("fsync "+l.seg.file.Name(), err)
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
		timer.Reset(lag / 2)
		select {
		case <-l.life.Done():
			return
		case <-timer.C:
			_ = l.sync() // a failure is kept in l.failed
		}
	}
}
