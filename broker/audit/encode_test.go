package audit_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/intercom-broker/intercom/broker/audit"
)

func TestNothingThatDoesNotPrintIsWritten(t *testing.T) {
	l, dir := open(t, audit.Config{})
	nasty := "a\nb\x1b[2Jc\x00d\u009be\u202ef\u2028g\U000e0001h\xff\xfei\x7f"
	record(t, l, audit.Event{Kind: audit.KindAdmin, Why: nasty, Groups: []string{nasty}, Actors: []string{nasty}})
	mustClose(t, l)

	text, err := os.ReadFile(filepath.Join(dir, "00000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range string(text) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%U stands in the file", r)
		}
	}
	got := all(t, dir, audit.TailConfig{})
	want := strings.ToValidUTF8(nasty, "\ufffd\ufffd") // two bytes, each replaced
	if got[0].Why != want || got[0].Groups[0] != want || got[0].Actors[0] != want {
		t.Errorf("read back %q, want %q", got[0].Why, want)
	}
}

func TestStringsAndListsAreBounded(t *testing.T) {
	l, dir := open(t, audit.Config{})
	long := strings.Repeat("é", audit.MaxString) // twice the bytes
	record(t, l, audit.Event{Kind: audit.KindAdmin, Resource: long, Groups: slices.Repeat([]string{long}, 100)})
	e := all(t, dir, audit.TailConfig{})[0]
	if n := len(e.Resource); n > audit.MaxString+len("…") || n < audit.MaxString-4 || !strings.HasSuffix(e.Resource, "…") {
		t.Errorf("a long string became %d bytes: …%q", n, e.Resource[n-8:])
	}
	if len(e.Groups) != audit.MaxListed || len(e.Groups[0]) > 300 {
		t.Errorf("a long list became %d members of %d bytes", len(e.Groups), len(e.Groups[0]))
	}
	if !utf8.ValidString(e.Resource) || strings.ContainsRune(e.Resource, utf8.RuneError) {
		t.Error("a character was cut in two")
	}
}

// FuzzEncodeIsJSON: whatever a name holds, its entry is one line of JSON that says the same.
func FuzzEncodeIsJSON(f *testing.F) {
	l, dir := open(f, audit.Config{SegmentBytes: 1 << 30})
	for _, s := range []string{"", "plain", "\x00\n\"\\", "\xff", "\u2028\u202e", "😀\U000e0001", strings.Repeat("x", 2000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id := audit.NewID()
		record(t, l, audit.Event{Kind: audit.KindAdmin, Decision: id, Why: s})
		found, err := audit.Find(dir, id)
		if err != nil || len(found) != 1 {
			t.Fatalf("found %d entries: %v", len(found), err)
		}
		if !json.Valid(found[0].Raw) || bytes.ContainsAny(found[0].Raw, "\n\r\x00\x1b") {
			t.Errorf("not a line of JSON: %q", found[0].Raw)
		}
		if len(s) <= audit.MaxString && utf8.ValidString(s) && found[0].Why != s {
			t.Errorf("wrote %q, read %q", s, found[0].Why)
		}
	})
}

var idForm = regexp.MustCompile(`^d-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestNewIDIsOrderedAndUnique(t *testing.T) {
	const n = 10_000
	ids := make([]string, 0, n)
	seen := map[string]bool{}
	for range n {
		id := audit.NewID()
		if !idForm.MatchString(id) || seen[id] {
			t.Fatalf("id %q is malformed or came twice", id)
		}
		seen[id] = true
		ids = append(ids, id)
	}
	early := ids[0]
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		if id := audit.NewID(); id[:15] != early[:15] { // another millisecond
			if id <= ids[n-1] {
				t.Errorf("a later id %s sorts before %s", id, ids[n-1])
			}
			break
		}
	}
	// Ids of one quarter of a microsecond may stand in any order; whole microseconds may not.
	const timePart = len("d-01234567-89ab-7cd")
	for i := 1; i < n; i++ {
		if ids[i][:timePart] < ids[i-1][:timePart] {
			t.Fatalf("%s follows %s", ids[i], ids[i-1])
		}
	}
}

// The chain can be followed with a shell, as the package comment says.
func TestChainInAShell(t *testing.T) {
	for _, tool := range []string{"sh", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	l, dir := open(t, audit.Config{})
	acts(t, l, 3)
	mustClose(t, l)
	const script = `
previous=$(printf '%064d' 0)
while IFS= read -r line; do
	want=${line##*\"hash\":\"}; want=${want%??}
	got=$(printf %s "$previous${line%,\"hash\"*}" | sha256sum | cut -c1-64)
	[ "$got" = "$want" ] || { echo "$line"; exit 1; }
	previous=$got; n=$((n+1))
done < "$1"
echo "$n"`
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", filepath.Join(dir, "00000001.jsonl")).CombinedOutput()
	if r := mustClean(t, dir); err != nil || strings.TrimSpace(string(out)) != "10" || r.Last != 10 {
		t.Errorf("the shell says %q (%v), Verify %d entries", out, err, r.Last)
	}
}
