package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
)

func contextForever() context.Context { return context.Background() }

// A process that is killed at any moment loses no decision of which it had said that it is recorded.
func TestKill9LosesNothingThatWasAcknowledged(t *testing.T) {
	rounds := 15
	if testing.Short() {
		rounds = 6
	}
	dir := filepath.Join(t.TempDir(), "audit")
	var told []string
	torn := 0
	for range rounds {
		told = append(told, killAtRandom(t, dir)...)
		r := verify(t, dir)
		if r.Broken != nil {
			t.Fatalf("broken after a kill: %v", r.Broken)
		}
		if r.TornTail > 0 {
			torn++
		}
	}
	l, _ := open(t, audit.Config{Dir: dir})
	mustClose(t, l)
	r := mustClean(t, dir)

	recorded := map[string]bool{}
	for _, e := range all(t, dir, audit.TailConfig{}) {
		if e.Kind == audit.KindDecision {
			recorded[e.Decision] = true
		}
	}
	for _, id := range told {
		if !recorded[id] {
			t.Errorf("decision %s was acknowledged and is not in the log", id)
		}
	}
	t.Logf("%d rounds: %d acknowledged, %d in the log, %d unknown, %d torn tails, %d segments, %d bytes cut",
		rounds, len(told), r.Decisions, r.UnknownCount, torn, r.Segments, r.TornBytes)
	if len(told) < rounds {
		t.Errorf("only %d acknowledged in %d rounds: the kills came too early to say anything", len(told), rounds)
	}
}

// killAtRandom runs a child, kills it, and returns what it had acknowledged.
func killAtRandom(t *testing.T, dir string) (told []string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+dir)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if told = append(told, lines.Text()); len(told) == 1 {
			time.AfterFunc(rand.N(30*time.Millisecond), func() { _ = child.Process.Kill() })
		}
	}
	if err := child.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the child ended by itself: %v: %s", err, stderr.String())
	}
	return told
}
