package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const casesFile = "cases"

// CaseResult is what became of one case.
type CaseResult struct {
	File string
	Line int
	// Text is the case as it stands in the file.
	Text string
	// Want is what the case expects.
	Want bool
	// Explanation is what the policy says.
	Explanation Explanation
}

// Passed reports whether the policy says what the case expects.
func (c CaseResult) Passed() bool { return c.Want == c.Explanation.Allow }

// RunCases runs the cases of all *.txtar in fsys, against the archive's own policy where it has one and
// against s otherwise. What cannot be read is an error, as [Problems]. An archive looks like this; its
// policy is optional, and so is everything after the resource:
//
//	-- policy.csv --
//	p, spiffe://a.test/orders, call, service/crm/GET/**, allow
//	-- cases --
//	allow spiffe://a.test/orders call service/crm/GET/customers/7
//	deny  spiffe://a.test/orders call service/crm/GET/x user=https://idp.test|alice group="Domain Users"
//	deny  spiffe://a.test/orders vend credential/x time=2026-01-01T00:00:00Z claims.level=3 properties.region=eu
//
// What only an operator's own model reads is written as context.NAME=VALUE.
func RunCases(fsys fs.FS, s *Snapshot) ([]CaseResult, error) {
	names, err := fs.Glob(fsys, "*.txtar")
	if err != nil {
		return nil, err
	}
	var results []CaseResult
	var problems Problems
	for _, name := range names {
		r, p := runArchive(fsys, name, s)
		results, problems = append(results, r...), append(problems, p...)
	}
	if len(problems) > 0 {
		return results, problems
	}
	return results, nil
}

func runArchive(fsys fs.FS, name string, s *Snapshot) ([]CaseResult, Problems) {
	data, err := readFile(fsys, name)
	if problem, ok := errors.AsType[*Problem](err); ok {
		return nil, Problems{problem}
	}
	archive := txtar.Parse(data)
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == casesFile })
	if i < 0 {
		return nil, Problems{{File: name, Message: "no cases", Cure: "write them after a line `-- cases --`"}}
	}
	if s, err = archivePolicy(archive, s); err != nil {
		return nil, within(name, err)
	}
	return runLines(name, archive.Files[i].Data, firstLine(data), s)
}

// archivePolicy compiles the archive's own policy, if it has one.
func archivePolicy(archive *txtar.Archive, s *Snapshot) (*Snapshot, error) {
	for _, f := range archive.Files {
		if f.Name != casesFile && f.Name != modelFile && !strings.HasSuffix(f.Name, ".csv") {
			return nil, &Problem{File: f.Name, Message: "unknown part", Cure: "there are *.csv, model.conf and cases"}
		}
	}
	src := unarchive(txtar.Format(archive))
	if len(src.files) > 0 {
		return compile(src)
	}
	if s == nil {
		return nil, &Problem{File: casesFile, Message: "no policy to run against"}
	}
	return s, nil
}

// within puts the archive's name before the names of its parts.
func within(archive string, err error) (problems Problems) {
	if p, ok := errors.AsType[*Problem](err); ok {
		problems = Problems{p}
	}
	if list, ok := errors.AsType[Problems](err); ok {
		problems = list
	}
	for i, p := range problems {
		moved := *p
		moved.File = archive + ": " + p.File
		problems[i] = &moved
	}
	return problems
}

// firstLine counts the lines before the cases.
func firstLine(data []byte) (n int) {
	for line := range strings.Lines(string(data)) {
		n++
		if strings.TrimRight(line, "\r\n\t ") == "-- "+casesFile+" --" {
			return n
		}
	}
	return n
}

func runLines(file string, data []byte, offset int, s *Snapshot) (results []CaseResult, problems Problems) {
	eachLine(data, func(number int, line string) bool {
		c := CaseResult{File: file, Line: offset + number, Text: strings.TrimSpace(line)}
		r, want, err := parseCase(line)
		if err == nil {
			c.Want = want
			c.Explanation, err = s.Explain(context.Background(), r)
		}
		if err != nil {
			problems = append(problems, &Problem{File: file, Line: c.Line, Message: err.Error()})
			return true
		}
		results = append(results, c)
		return true
	})
	return results, problems
}

// parseCase reads `allow|deny SUBJECT ACTION RESOURCE [NAME=VALUE …]`.
func parseCase(line string) (r Request, allowed bool, err error) {
	words, err := splitWords(line)
	if err != nil {
		return r, false, err
	}
	if len(words) < 4 || (words[0] != allow && words[0] != deny) {
		return r, false, errors.New("a case is: allow or deny, subject, action, resource, and what else it needs as NAME=VALUE")
	}
	id, err := spiffeid.FromString(words[1])
	if err != nil {
		return r, false, fmt.Errorf("subject %q: %w", words[1], err)
	}
	r.Principal.Workload.ID = id
	r.Action = words[2]
	if !slices.Contains(Actions(), r.Action) {
		return r, false, fmt.Errorf("unknown action %q", r.Action)
	}
	r.Resource = ParseEntity(words[3])
	for _, word := range words[4:] {
		name, value, _ := strings.Cut(word, "=")
		if err := r.set(name, value); err != nil {
			return r, false, err
		}
	}
	return r, words[0] == allow, nil
}

func (r *Request) set(name, value string) (err error) {
	field, key, _ := strings.Cut(name, ".")
	switch {
	case name == "user":
		var ok bool
		u := r.user()
		if u.Issuer, u.Subject, ok = strings.Cut(value, "|"); !ok {
			err = fmt.Errorf("user %q is not ISSUER|SUB", value)
		}
	case name == "group":
		r.user().Groups = append(r.user().Groups, value)
	case name == "time":
		r.Time, err = time.Parse(time.RFC3339, value)
	case field == "claims" && key != "":
		r.user().Claims = with(r.user().Claims, key, value)
	case field == "properties" && key != "":
		r.Resource.Properties = with(r.Resource.Properties, key, value)
	case field == "context" && key != "":
		r.Context = with(r.Context, key, value)
	default:
		err = fmt.Errorf("unknown %q; there are user, group, time, claims.NAME, properties.NAME and context.NAME", name)
	}
	return err
}

func (r *Request) user() *identity.User {
	if r.Principal.User == nil {
		r.Principal.User = &identity.User{}
	}
	return r.Principal.User
}

// with sets m[key] to what value says in JSON, or to value itself where it is not JSON.
func with(m map[string]any, key, value string) map[string]any {
	if m == nil {
		m = map[string]any{}
	}
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		v = value
	}
	m[key] = v
	return m
}

// splitWords splits at white space, except between double quotes.
func splitWords(line string) (words []string, err error) {
	var word strings.Builder
	quoted, started := false, false
	for _, c := range line {
		switch {
		case c == '"':
			quoted, started = !quoted, true
		case !quoted && (c == ' ' || c == '\t'):
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if quoted {
		return nil, errors.New("a double quote is not closed")
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}
