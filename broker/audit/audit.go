// Package audit remembers what was decided.
package audit

import (
	"context"
	"crypto/ed25519"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// MaxString is how many bytes of one of an event's strings are kept.
const MaxString = 1024

// Sync says when an entry is safe from a power failure.
type Sync string

// The two promises. Either way a recorded entry survives the death of the process.
const (
	SyncInterval Sync = "interval" // at most 100 ms after Record returned
	SyncAlways   Sync = "always"   // before Record returns
)

// Signer signs checkpoints. It is called from one goroutine at a time.
type Signer interface {
	Sign(ctx context.Context, message []byte) (Signature, error)
}

// Signature is an Ed25519 signature and the public half of the key that made it.
type Signature struct {
	Key   ed25519.PublicKey
	Bytes []byte
}

// Config configures a Log.
type Config struct {
	// Dir holds the log; it is created (0700) when it is missing. It must be set.
	Dir string
	// Sync is SyncInterval when empty.
	Sync Sync
	// SegmentBytes ends a segment that is larger; zero means 64 MiB.
	SegmentBytes int64
	// SegmentAge ends a segment that is older; zero means 24 hours.
	SegmentAge time.Duration
	// Keep deletes segments whose last entry is older; zero keeps all of them.
	Keep time.Duration
	// Reserve is how many bytes of disk are held back; zero means 16 MiB, negative means none.
	Reserve int64
	// CheckpointEvery is the time between two signed checkpoints; zero means 10 seconds.
	CheckpointEvery time.Duration
	// Signer signs checkpoints; nil means the directory's own key, which the first Open creates.
	Signer Signer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears of trouble; nil means nobody does.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

// Log is an open audit log, the only one on its directory.
type Log struct{}

// Open opens the log in cfg.Dir.
func Open(cfg Config) (*Log, error) { panic("not yet") }

// Record writes e and returns when it is as safe as the log is configured.
func (l *Log) Record(ctx context.Context, e Event) error { panic("not yet") }

// Ready returns nil while grants can be recorded, and otherwise why not.
func (l *Log) Ready() error { panic("not yet") }

// Close signs the last checkpoint and lets go of the directory.
func (l *Log) Close() error { panic("not yet") }

// Entry is one line of the log.
type Entry struct {
	Event
	// Seq counts entries through all segments, from 1.
	Seq uint64 `json:"seq"`
	// Hash is the chain's value at this entry, in hex.
	Hash string `json:"hash"`
	// File and Line are where it stands.
	File string `json:"-"`
	Line int    `json:"-"`
	// Raw is the line itself, without the newline.
	Raw []byte `json:"-"`
}

// Report is what Verify found.
type Report struct{}

// Verify reads the whole log in dir. A nil key means the one beside the log.
func Verify(dir string, key ed25519.PublicKey) (Report, error) { panic("not yet") }

// TailConfig says which entries Tail yields.
type TailConfig struct {
	// Follow waits for more at the end.
	Follow bool
	// From is the first entry's number; zero means the beginning.
	From uint64
	// Last skips to so many entries before the end; zero means all of them.
	Last int
}

// Tail yields entries of the log in dir until ctx ends, or until the end when it does not follow.
func Tail(ctx context.Context, dir string, cfg TailConfig) iter.Seq2[Entry, error] {
	panic("not yet")
}

// Find returns the entries of one decision: itself and, when there is one, its outcome.
func Find(dir, decision string) ([]Entry, error) { panic("not yet") }

// NewID returns a new decision id.
func NewID() string { panic("not yet") }

// Metrics are the log's own figures.
type Metrics struct{}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics { panic("not yet") }
