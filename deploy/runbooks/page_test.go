package runbooks_test

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// runbook is a page of this folder. What it quotes stands in blocks that have a name, ```text NAME, and each line of a
// block must have been seen when the test played that part: a page that says what nobody sees any more fails.
type runbook struct {
	t      *testing.T
	name   string
	blocks map[string][]string
	shown  map[string]bool
}

// blocksOf finds the named blocks of a page.
func blocksOf(text string) map[string][]string {
	found := map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```text (\\S+)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(m[2]) {
			found[m[1]] = append(found[m[1]], single(line))
		}
	}
	return found
}

// open reads a page. At the test's end its blocks must have been played: those of the test, or all where none is named.
func open(t *testing.T, name string, blocks ...string) *runbook {
	t.Helper()
	text, err := os.ReadFile(name)
	must(t, err)
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	if !strings.Contains(string(text), "go test -run '"+pattern+"' ./deploy/runbooks") {
		t.Errorf("%s does not name its test, %s", name, t.Name())
	}
	r := &runbook{t, name, blocksOf(string(text)), map[string]bool{}}
	t.Cleanup(func() {
		for block := range r.blocks {
			ours := len(blocks) == 0 || slices.Contains(blocks, block)
			if ours && !r.shown[block] && !t.Failed() && !t.Skipped() {
				t.Errorf("%s: nobody played %q", name, block)
			}
		}
	})
	return r
}

// holds checks that each line of a block was seen.
func (r *runbook) holds(block string, s *seen) {
	r.t.Helper()
	r.shown[block] = true
	lines := s.all()
	if len(r.blocks[block]) == 0 {
		r.t.Errorf("%s has no block %q", r.name, block)
	}
	for _, quoted := range r.blocks[block] {
		if !slices.ContainsFunc(lines, func(line string) bool { return quotes(quoted, line) }) {
			r.t.Errorf("%s, %q: nobody saw\n\t%s\nbut\n\t%s", r.name, block, quoted, strings.Join(told(lines), "\n\t"))
		}
	}
}

// told is what helps to mend a page: what was seen, each sort of log line once.
func told(lines []string) (short []string) {
	known := map[string]bool{}
	for _, line := range lines {
		kind := line
		if _, message, ok := strings.Cut(line, `"msg":`); ok {
			kind = message[:min(len(message), 120)]
		}
		if !known[kind] && !strings.Contains(line, `"level":"INFO"`) {
			known[kind] = true
			short = append(short, line)
		}
	}
	return short
}

// quotes reports whether line has what is quoted, in which … stands for anything.
func quotes(quoted, line string) bool {
	for part := range strings.SplitSeq(quoted, "…") {
		_, rest, found := strings.Cut(line, strings.TrimSpace(part))
		if !found {
			return false
		}
		line = rest
	}
	return true
}

// single is text on one line, with single spaces.
func single(text string) string { return strings.Join(strings.Fields(text), " ") }

// seen is what came in one part of a play.
type seen struct {
	mu    sync.Mutex
	lines []string
}

func (s *seen) add(parts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, single(strings.Join(parts, " ")))
}

func (s *seen) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// journal is what the gateways log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// since returns the lines after the first n bytes, and how many there are now.
func (j *journal) since(n int) (lines []string, now int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Split(string(j.text.Bytes()[n:]), "\n"), j.text.Len()
}

// TestQuotes: a page that quotes what was not seen is found out.
func TestQuotes(t *testing.T) {
	for quoted, want := range map[string]bool{
		"503 session_store_unavailable": true,
		"fetch … session_store … After": true,
		"After … fetch":                 false,
		"504":                           false,
	} {
		if got := quotes(quoted, "fetch /x: 503 session_store_unavailable, Retry-After: 1"); got != want {
			t.Errorf("%q: %t", quoted, got)
		}
	}
	if got := blocksOf("a\n```text one\nx  y\nz\n```\n```sh\nls\n```\n"); len(got) != 1 || !slices.Equal(got["one"], []string{"x y", "z"}) {
		t.Errorf("%q", got)
	}
}
