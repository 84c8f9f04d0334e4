package audit_test

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
)

// childEnv names the directory for a child that records until it is killed.
const childEnv = "INTERCOM_AUDIT_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := recordForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// recordForever tells on standard output, after each Record that returned, which decision it was. A
// line that short is written to a pipe as a whole or not at all.
func recordForever(dir string) error {
	l, err := audit.Open(audit.Config{Dir: dir, Reserve: 64 << 10, SegmentBytes: 64 << 10, CheckpointEvery: 3 * time.Millisecond})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	for range 8 {
		wg.Go(func() { failed <- recordAndTell(l) })
	}
	return <-failed
}

func recordAndTell(l *audit.Log) error {
	for {
		id := audit.NewID()
		if err := l.Record(contextForever(), decision(id)); err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(id + "\n"); err != nil {
			return err
		}
		if err := l.Record(contextForever(), outcome(id)); err != nil {
			return err
		}
	}
}
