package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Sync says when an entry is safe from a power failure.
type Sync string

// The two promises. Either way a recorded entry survives the death of the process.
const (
	SyncInterval Sync = "interval" // at most 100 ms after Record returned
	SyncAlways   Sync = "always"   // before Record returns
)

// Signer signs checkpoints. It is called by one goroutine at a time and never while Record waits,
// except at the end of a segment.
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
	// Now is the clock of entries and of the segments' age; nil means time.Now.
	Now func() time.Time
	// Logger hears of trouble; nil means nobody does.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

func (c Config) check() error {
	switch {
	case c.Dir == "":
		return errors.New("audit: no directory is configured")
	case c.Sync != SyncInterval && c.Sync != SyncAlways:
		return fmt.Errorf("audit: sync is %q; it must be %q or %q", c.Sync, SyncInterval, SyncAlways)
	case c.SegmentBytes < 0, c.SegmentAge < 0, c.Keep < 0, c.CheckpointEvery < 0:
		return errors.New("audit: sizes and times must not be negative")
	}
	return nil
}

// withDefaults fills in what the zero values mean.
func (c Config) withDefaults() Config {
	c.Sync = orElse(c.Sync, SyncInterval)
	c.SegmentBytes = orElse(c.SegmentBytes, 64<<20)
	c.SegmentAge = orElse(c.SegmentAge, 24*time.Hour)
	c.Reserve = max(orElse(c.Reserve, 16<<20), 0)
	c.CheckpointEvery = orElse(c.CheckpointEvery, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
