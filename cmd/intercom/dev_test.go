package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/cmd/internal/dev"
)

// TestDevTokenCommandsRun types what `intercom dev` says to try with tokens, pipes included.
func TestDevTokenCommandsRun(t *testing.T) {
	w, err := dev.Start(t.Context(), dev.Config{Gateway: "127.0.0.1:0", Sidecar: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	var page bytes.Buffer
	w.Page(&page)
	ran := map[string]string{}
	for line := range strings.Lines(page.String()) {
		if line = strings.TrimSpace(line); strings.Contains(line, " token get ") {
			ran[line] = pipeline(t, line)
		}
	}
	for _, want := range []string{"token decode", "token verify"} {
		found := false
		for line, out := range ran {
			found = found || strings.Contains(line, want) && strings.Contains(out, "spiffe://intercom.test/orders")
		}
		if !found {
			t.Errorf("nothing to try with %s, or it does not work: %q", want, ran)
		}
	}
}

// pipeline runs the commands of one line, each with the output of the one before it.
func pipeline(t *testing.T, line string) (out string) {
	t.Helper()
	for part := range strings.SplitSeq(line, " | ") {
		args, ok := strings.CutPrefix(part, dev.Tool()+" ")
		if !ok {
			t.Fatalf("%q is not run by %s", part, dev.Tool())
		}
		var stdout, stderr bytes.Buffer
		c := root()
		c.SetArgs(strings.Fields(args))
		c.SetIn(strings.NewReader(out))
		c.SetOut(&stdout)
		c.SetErr(&stderr)
		if code := cli.Run(t.Context(), c, &stderr); code != cli.OK {
			t.Fatalf("%s: exit %d: %s", part, code, stderr.String())
		}
		out = stdout.String()
	}
	return out
}
