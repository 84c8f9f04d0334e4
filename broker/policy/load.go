package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
)

const (
	maxProblems = 20
	maxLine     = 8 << 10

	// A decision looks once for each shape that fits, so their number bounds its time.
	maxShapes  = 32
	manyShapes = 16
)

// Load reads, checks and compiles the policy in dir. What it refuses it names by file and line, as
// [Problems].
func Load(dir string) (*Snapshot, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("policy: %s is no directory that can be read", dir), err)
	}
	s, err := LoadFS(os.DirFS(dir))
	return s, inDir(dir, err)
}

// inDir puts dir before the files that problems name.
func inDir(dir string, err error) error {
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		return err
	}
	full := make(Problems, len(problems))
	for i, p := range problems {
		moved := *p
		moved.File = filepath.Join(dir, p.File)
		full[i] = &moved
	}
	return full
}

// LoadFS is Load for a file system.
func LoadFS(fsys fs.FS) (*Snapshot, error) {
	src, err := readWhole(fsys)
	if err != nil {
		return nil, asProblems(err)
	}
	return compile(src)
}

// asProblems makes a list of a single Problem, so that callers find one form.
func asProblems(err error) error {
	if problem, ok := errors.AsType[*Problem](err); ok {
		return Problems{problem}
	}
	return fmt.Errorf("policy: %w", err)
}

// compile builds a Snapshot of src, or says all that is wrong with it.
func compile(src source) (*Snapshot, error) {
	s, err := draft(src)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// draft is compile that returns also what it can read of what it refuses: it lacks rules, perhaps denials, so it must
// decide nothing.
func draft(src source) (*Snapshot, error) {
	s := &Snapshot{revision: src.revision()}
	if !shipped(src.model) {
		if err := s.compileCustom(src); err != nil {
			return nil, err
		}
		return s, nil
	}
	l := &loader{}
	l.files(src.files)
	s.roles, s.links = newRoles(l.links), l.links
	l.problems = append(l.problems, s.roles.check(l.links)...)
	s.findings = l.shapes()
	if len(l.problems) == 0 { // else what a role lacks may be what is refused
		s.findings = append(s.findings, s.roles.warn(l.rules, l.links)...)
	}
	s.findings = append(s.findings, void(l.rules)...)
	s.index = newIndex(l.rules, s.roles)
	for i, r := range l.rules {
		s.rules = append(s.rules, r.compiled)
		if r.deny && r.condition == nil {
			s.denials = append(s.denials, i)
		}
	}
	s.findings = append(s.findings, s.index.repeated(s.rules)...)
	if len(l.problems) > 0 {
		return s, l.problems[:min(len(l.problems), maxProblems)]
	}
	return s, nil
}

// loader gathers what the files say.
type loader struct {
	rules    []parsed
	links    []link
	problems Problems
}

func (l *loader) files(files []txtar.File) {
	for _, f := range files {
		eachLine(f.Data, func(number int, line string) bool {
			if r := l.line(f.Name, number, line); r != nil {
				l.problems = append(l.problems, &Problem{File: f.Name, Line: number, Message: r.message, Cure: r.cure})
			}
			return len(l.problems) < maxProblems
		})
	}
}

// eachLine calls yield with every line that is neither empty nor a comment, with the white space before it,
// until it returns false.
func eachLine(data []byte, yield func(number int, line string) bool) {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimRightFunc(string(line), unicode.IsSpace)
		if first := strings.TrimSpace(text); first == "" || first[0] == '#' {
			continue
		}
		if !yield(number, text) {
			return
		}
	}
}

// unindent returns the text of a line, and how many characters of white space stand before it.
func unindent(line string) (text string, indent int) {
	text = strings.TrimSpace(line)
	return text, utf8.RuneCountInString(line) - utf8.RuneCountInString(text)
}

func (l *loader) line(file string, number int, line string) *refusal {
	values, r := lineValues(line)
	if r != nil {
		return r
	}
	switch values[0] {
	case "p":
		rule, r := parseRule(values[1:])
		if r == nil {
			rule.File, rule.Line = file, number
			rule.Text, rule.indent = unindent(line)
			l.rules = append(l.rules, rule)
		}
		return r
	case "g":
		link, r := parseLink(values[1:])
		if r == nil {
			link.file, link.line = file, number
			l.links = append(l.links, link)
		}
		return r
	}
	return refuse("a rule begins with p, a role's member with g, and a comment with #", "unknown line type %q", values[0])
}

func lineValues(line string) ([]string, *refusal) {
	if len(line) > maxLine {
		return nil, refuse("", "line of %d bytes; at most %d are read", len(line), maxLine)
	}
	if !utf8.ValidString(line) {
		return nil, refuse("save the file as UTF-8", "invalid UTF-8")
	}
	values, err := splitLine(line)
	if err != nil {
		return nil, refuse("put the whole field into double quotes, double those inside, and use single quotes in conditions", "%v", err)
	}
	return values, nil
}

// shapes counts the shapes of wildcards, refuses too many at the rule that goes over, and warns before.
// `**` alone is free, so that a deny for an emergency always finds room.
func (l *loader) shapes() (found []Finding) {
	seen := map[shape]bool{}
	for i := range l.rules {
		before := len(seen)
		for _, p := range []pattern{l.rules[i].subject, l.rules[i].resource} {
			if !p.literal() && p.segments > 0 {
				seen[p.shape] = true
			}
		}
		if r := l.rules[i]; before <= maxShapes && len(seen) > maxShapes {
			l.problems = append(l.problems, &Problem{File: r.File, Line: r.Line, Cure: "let more rules have their wildcards in the same places",
				Message: fmt.Sprintf("more than %d pattern shapes", maxShapes)})
		}
	}
	if len(seen) >= manyShapes {
		found = append(found, Finding{ID: FindingShapes, Cure: "let more rules have their wildcards in the same places",
			Message: fmt.Sprintf("%d pattern shapes; more than %d are refused, and each costs time at every decision", len(seen), maxShapes)})
	}
	return found
}
