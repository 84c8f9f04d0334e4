package sealed_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/secret"
)

const childEnv = "SEALED_TEST_CHILD"

// TestMain lets this binary be the process that TestKillAtAnyMoment kills.
func TestMain(m *testing.M) {
	if path, name, ok := strings.Cut(os.Getenv(childEnv), "|"); ok {
		fmt.Println("stopped:", child(path, credential.Name(name)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child writes under one name until it is killed, and prints each version that it was told is written.
func child(path string, name credential.Name) error {
	key, err := sealed.ReadKey("file:" + path + ".key")
	if err != nil {
		return err
	}
	s, err := sealed.Open(sealed.Config{Path: path, Key: key, MustExist: true})
	for n := 1; err == nil; n++ {
		var version uint64
		version, err = s.Write(context.Background(), name, credential.Fields{"value": secret.FromString(strings.Repeat("x", n%5000))})
		fmt.Printf("wrote %d\n", version)
	}
	return err
}

// TestKillAtAnyMoment kills two writers of one file with SIGKILL, again and again. What they were told is
// written must be there, the file must be whole, and the lock free.
func TestKillAtAnyMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials.sealed")
	key, err := sealed.CreateKey(path + ".key")
	if err != nil {
		t.Fatal(err)
	}
	cfg := sealed.Config{Path: path, Key: key, Poll: time.Nanosecond}
	open(t, cfg)
	rounds := 15
	if testing.Short() {
		rounds = 3
	}
	told := map[credential.Name]uint64{}
	for range rounds {
		for name, version := range killed(t, path, "writer/a", "writer/b") {
			told[name] = max(told[name], version)
		}
		s := open(t, cfg)
		for name, least := range told {
			c, err := s.Read(t.Context(), name)
			if err != nil || c.Version < least || c.Version > least+1 {
				t.Fatalf("%s: told %d, found %d, %v", name, least, c.Version, err)
			}
			told[name] = c.Version
		}
	}
	t.Logf("%d writes in %d rounds", told["writer/a"]+told["writer/b"], rounds)
	put(t, open(t, cfg), "after/all", "x")
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// killed starts a writer for each name, kills all after a random time, and returns the versions that they
// were told last.
func killed(t *testing.T, path string, names ...string) map[credential.Name]uint64 {
	t.Helper()
	var children []*exec.Cmd
	var outputs []*bufio.Scanner
	for _, name := range names {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path+"|"+name)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		children, outputs = append(children, cmd), append(outputs, bufio.NewScanner(out))
	}
	told := map[credential.Name]uint64{}
	note := func(i int, line string) {
		version, err := strconv.ParseUint(strings.TrimPrefix(line, "wrote "), 10, 64)
		if err != nil {
			t.Fatalf("the child said %q", line)
		}
		told[credential.Name(names[i])] = version
	}
	for i, out := range outputs {
		if out.Scan() { // it is under way
			note(i, out.Text())
		}
	}
	time.Sleep(rand.N(30 * time.Millisecond)) // the random moment is the test
	for i, cmd := range children {
		_ = cmd.Process.Kill()
		for outputs[i].Scan() {
			note(i, outputs[i].Text())
		}
		_ = cmd.Wait()
	}
	return told
}
