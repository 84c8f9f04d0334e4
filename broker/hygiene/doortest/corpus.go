package doortest

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Request is one of the corpus, and what is expected of it. The door's name in it is door.test, and its services are crm
// and keyed.
type Request struct {
	// Name is what is hostile in it.
	Name string
	// Raw is what is sent.
	Raw string
	// Status is that of the answer.
	Status string
	// Closed says that the connection must be, after the answer.
	Closed bool
	// Reached says whether the upstream is; it is looked at where Decided is set.
	Reached, Decided bool
	// Lacks are headers that must not arrive.
	Lacks []string
	// Has are headers that arrive, with their only values.
	Has [][2]string
	// URI is where it arrives; empty means anywhere.
	URI string
}

//go:embed hostile.txtar
var hostile []byte

// Corpus returns the requests, for services whose credentials are basic for crm, and key for keyed.
func Corpus(t testing.TB, basic, key string) (requests []Request) {
	t.Helper()
	credentials := strings.NewReplacer("BASIC", basic, "KEY", key)
	for _, file := range txtar.Parse(hostile).Files {
		r := Request{Name: file.Name}
		for line := range strings.Lines(string(file.Data)) {
			line = strings.TrimSuffix(line, "\n")
			if want, ok := strings.CutPrefix(line, "> "); ok {
				r.expect(want, credentials)
				continue
			}
			text, err := sent(line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			r.Raw += text
		}
		r.Raw = strings.NewReplacer("DOOR", "door.test", "CRM", "crm", "KEYED", "keyed").Replace(r.Raw)
		requests = append(requests, r)
	}
	return requests
}

// sent is a line as it goes out.
func sent(line string) (string, error) {
	end := "\r\n"
	if cut, ok := strings.CutSuffix(line, `\n`); ok {
		line, end = cut, "\n"
	} else if cut, ok := strings.CutSuffix(line, `\c`); ok {
		line, end = cut, ""
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(line, `"`, `\"`) + `"`)
	return text + end, err
}

func (r *Request) expect(want string, credentials *strings.Replacer) {
	words := strings.SplitN(want, " ", 3)
	switch words[0] {
	case "lacks":
		r.Lacks = append(r.Lacks, words[1])
	case "has":
		r.Has = append(r.Has, [2]string{words[1], credentials.Replace(words[2])})
	case "uri":
		r.URI = words[1]
	default:
		r.Status, r.Closed = words[0], slices.Contains(words, "closed")
		r.Reached = slices.Contains(words, "reached")
		r.Decided = r.Reached || strings.HasSuffix(want, "not")
	}
}
