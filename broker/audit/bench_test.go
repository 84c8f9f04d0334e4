package audit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/intercom-broker/intercom/broker/audit"
)

// BenchmarkRecord has, beside the log in both modes, the least that an append can cost: one write(2) of as
// many bytes by each writer, with and without an fsync of its own. Compare within one run:
//
//	go test -run '^$' -bench Record ./broker/audit
func BenchmarkRecord(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		for _, mode := range []audit.Sync{audit.SyncInterval, audit.SyncAlways} {
			b.Run(fmt.Sprintf("log/sync=%s/writers=%d", mode, writers), func(b *testing.B) {
				l, _ := open(b, audit.Config{Sync: mode})
				e := decision(audit.NewID())
				inParallel(b, writers, func() error { return l.Record(context.Background(), e) })
			})
			b.Run(fmt.Sprintf("write/sync=%s/writers=%d", mode, writers), func(b *testing.B) {
				benchmarkWrite(b, writers, mode == audit.SyncAlways)
			})
		}
	}
}

func benchmarkWrite(b *testing.B, writers int, sync bool) {
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	line := make([]byte, 480) // as long as decision's
	inParallel(b, writers, func() error {
		if _, err := f.Write(line); err != nil || !sync {
			return err
		}
		return f.Sync()
	})
}

// inParallel shares b.N calls among so many goroutines.
func inParallel(b *testing.B, writers int, do func() error) {
	b.ReportAllocs()
	left := atomic.Int64{}
	left.Store(int64(b.N))
	done := make(chan error, writers)
	b.ResetTimer()
	for range writers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	l, dir := open(b, audit.Config{})
	acts(b, l, 5_000)
	mustClose(b, l)
	b.ResetTimer()
	for b.Loop() {
		mustClean(b, dir)
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "entries/s")
}
