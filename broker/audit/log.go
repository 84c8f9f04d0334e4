package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// The reasons with which Record refuses.
const (
	ReasonFull   = "AUDIT_FULL"   // the reserve of disk is touched, or the disk is full
	ReasonFailed = "AUDIT_FAILED" // the disk does not keep what it was given; a restart looks what is there
	ReasonSlow   = "AUDIT_SLOW"   // too much waits for the disk
	ReasonClosed = "AUDIT_CLOSED" // the process is ending
)

// Log is an open audit log, the only one on its directory. It is safe for concurrent use.
type Log struct {
	cfg    Config
	lock   *os.File
	opened time.Time

	mu      sync.Mutex // guards pending and closed; never held while a file is touched
	pending *batch
	closed  bool

	// lead is held by whoever writes. It guards what follows.
	lead    chan struct{}
	at      chain
	seg     *segment
	reserve *reserve
	out     []byte // the lines of a batch, kept to spare an allocation

	files   sync.Mutex // held while a segment's file is synced or exchanged; taken after lead
	syncing atomic.Int64
	dirty   atomic.Int64 // when the oldest write was made that no fsync has begun for
	wake    chan struct{}
	failed  atomic.Pointer[fault.Error]

	signed   uint64 // the last entry that a checkpoint covers; the keeper's
	rotate   chan struct{}
	life     context.Context // until Close; for the keeper and what it waits for
	end      context.CancelFunc
	stopped  sync.WaitGroup
	pool     sync.Pool
	closing  sync.Once
	closeErr error
}

// Open opens the log in cfg.Dir, or begins one. What a killed process left unfinished is cut off and
// noted; a log that does not hold what its last checkpoint signed is refused, since going on would bury
// the place.
func Open(cfg Config) (*Log, error) { return open(cfg, lockWait) }

func open(cfg Config, wait time.Duration) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	lock, err := lockDir(cfg.Dir, wait)
	if err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, lock: lock, opened: time.Now(), lead: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		rotate: make(chan struct{}, 1), pending: newBatch(),
	}
	l.life, l.end = context.WithCancel(context.Background())
	if err := l.begin(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	l.attempt("take the inbox", l.takeInbox) // before the keeper does the same
	l.stopped.Go(l.syncer)
	l.stopped.Go(l.keeper)
	return l, nil
}

// begin brings the directory to where the first Record can follow.
func (l *Log) begin() error {
	if err := removeTemps(l.cfg.Dir); err != nil {
		return err
	}
	torn, err := l.resume()
	if err != nil {
		return err
	}
	if l.reserve, err = openReserve(l.cfg.Dir, l.cfg.Reserve); err != nil {
		return err
	}
	f := l.own(KindOpen).number("pid", int64(os.Getpid())).number("torn", torn)
	if err := l.writeOwn(f); err != nil {
		return err
	}
	if torn > 0 {
		l.cfg.Logger.Warn("audit: cut off what a killed process had not finished", "bytes", torn, "segment", l.seg.path)
	}
	return l.checkpoint(l.life)
}

// resume opens the last segment after its last whole entry, or begins the first one.
func (l *Log) resume() (torn int64, err error) {
	segments, err := segmentsOf(l.cfg.Dir)
	if err != nil {
		return 0, err
	}
	if l.cfg.Signer == nil {
		if l.cfg.Signer, err = openKey(l.cfg.Dir, len(segments) == 0); err != nil {
			return 0, err
		}
	}
	if len(segments) == 0 {
		return 0, l.beginFirst()
	}
	rec, err := recoverLast(l.cfg.Dir, segments)
	if err != nil {
		return 0, err
	}
	l.at, l.seg = newChain(rec.last.seq, rec.last.hash), rec.segment
	return rec.torn, nil
}

// beginFirst writes a head that covers nothing before there is a segment: a directory with segments and
// without a head has lost it, and one with a head that covers something has lost its segments.
func (l *Log) beginFirst() error {
	head, err := readHead(l.cfg.Dir)
	switch {
	case err == nil && head.Covers > 0:
		return fmt.Errorf("audit: %s has a head that covers entry %d, and no segment: the log was removed; move the directory away to begin a new one",
			l.cfg.Dir, head.Covers)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	l.at = newChain(0, origin())
	s, err := l.seal(l.life, l.at)
	if err != nil {
		return err
	}
	if err := writeHead(l.cfg.Dir, firstHead(s)); err != nil {
		return err
	}
	l.seg, err = createSegment(l.cfg.Dir, 1, &l.at, l.cfg.Now())
	return err
}

func removeTemps(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "*"+tempSuffix))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// Ready returns nil while grants can be recorded, and otherwise why not.
func (l *Log) Ready() error {
	if err := l.failed.Load(); err != nil {
		return err
	}
	if l.reserve.touched() {
		return fmt.Errorf("audit: the disk of %s is full: %d of %d reserved bytes are left and grants are refused",
			l.cfg.Dir, l.reserve.held.Load(), l.reserve.size)
	}
	return nil
}

// fail makes every later Record fail. What made it fail leaves us unable to say what is on the disk;
// the next Open looks.
func (l *Log) fail(what string, cause error) *fault.Error {
	err := fault.New(fault.Unavailable, ReasonFailed, "the audit log cannot take entries").Because(fmt.Errorf("audit: %s: %w", what, cause))
	if l.failed.CompareAndSwap(nil, err) {
		l.cfg.Logger.Error("audit: no more entries are taken until a restart", slog.String("what", what), slog.Any("error", cause))
	}
	return l.failed.Load()
}

// Close writes what waits, signs the last checkpoint and lets go of the directory.
func (l *Log) Close() error {
	l.closing.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Log) close() error {
	l.mu.Lock()
	last := l.pending
	l.closed = true
	l.mu.Unlock()
	l.end()
	l.stopped.Wait()
	l.lead <- struct{}{}
	l.commit(last)
	return errors.Join(l.checkpoint(context.Background()), l.release())
}

func (l *Log) release() error {
	var err error
	if l.seg != nil {
		err = l.seg.file.Close()
	}
	return errors.Join(err, l.reserve.close(), l.lock.Close())
}
