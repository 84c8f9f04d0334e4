package audit

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// These hold what only a slow or failing disk would show from outside.

func openInternal(t *testing.T, cfg Config) *Log {
	t.Helper()
	cfg.Dir, cfg.Reserve = t.TempDir(), -1
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func event() Event { return Event{Kind: KindDecision, Decision: NewID(), Allow: true} }

// fsyncs returns how many there were.
func fsyncs(t *testing.T, r *prometheus.Registry) float64 {
	t.Helper()
	return telemetrytest.Value(t, r, "intercom_audit_fsync_seconds")
}

func TestAlwaysMeansBeforeRecordReturns(t *testing.T) {
	r := prometheus.NewRegistry()
	l := openInternal(t, Config{Sync: SyncAlways, Metrics: NewMetrics(r), CheckpointEvery: time.Hour})
	for range 5 {
		before := fsyncs(t, r)
		if err := l.Record(context.Background(), event()); err != nil {
			t.Fatal(err)
		}
		if fsyncs(t, r) == before || l.dirty.Load() != 0 {
			t.Fatal("Record returned before an fsync")
		}
	}
}

func TestIntervalMeansSoon(t *testing.T) {
	r := prometheus.NewRegistry()
	l := openInternal(t, Config{Metrics: NewMetrics(r), CheckpointEvery: time.Hour})
	before := fsyncs(t, r)
	if err := l.Record(context.Background(), event()); err != nil {
		t.Fatal(err)
	}
	await(t, "an fsync follows", func() bool { return fsyncs(t, r) > before })
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// While something is older than it may be, nobody is told that more is recorded.
func TestASlowDiskHoldsWritersBack(t *testing.T) {
	l := openInternal(t, Config{CheckpointEvery: time.Hour})
	await(t, "the syncer has seen to what Open wrote", func() bool { return l.dirty.Load() == 0 })
	l.files.Lock() // an fsync that does not end
	l.dirty.Store(1)
	for l.behind() <= lag {
		time.Sleep(time.Millisecond)
	}
	returned := make(chan error, 1)
	go func() { returned <- l.Record(context.Background(), event()) }()
	select {
	case <-returned:
		t.Error("Record returned while an older write was not on the disk in time")
	case <-time.After(50 * time.Millisecond):
	}
	l.files.Unlock()
	if err := <-returned; err != nil {
		t.Error(err)
	}
	await(t, "a write is on the disk", func() bool { return l.behind() <= lag })
}

// After an fsync that failed nobody knows what is on the disk.
func TestAFailedFsyncEndsTheLog(t *testing.T) {
	l := openInternal(t, Config{CheckpointEvery: time.Hour})
	_, pipe, err := os.Pipe() // can be written and not synced
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	l.files.Lock()
	real := l.seg.file
	l.seg.file = pipe
	l.dirty.Store(1)
	l.files.Unlock()
	if l.sync() == nil {
		t.Fatal("a pipe was synced")
	}
	l.files.Lock()
	l.seg.file = real
	l.files.Unlock()
	err = l.Record(context.Background(), event())
	if !errors.Is(err, fault.Unavailable) || fault.From(err).Reason != ReasonFailed {
		t.Errorf("Record says %v", err)
	}
	if l.Ready() == nil || l.sync() == nil {
		t.Error("the log goes on after a failed fsync")
	}
}
