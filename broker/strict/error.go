package strict

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Error is one thing that was refused, and where it stands.
type Error struct {
	File         string
	Line, Column int
	// Where is the path to it in words: `vend.ttl of service "reports"`. It is empty at the top of a file.
	Where   string
	Message string
	// Suggestion is what was probably meant; empty when nothing is near.
	Suggestion string

	// key: the message speaks of a key in Where, rather than of Where itself.
	key bool
	// named: Where ends with a noun, which needs no further path.
	named bool
}

// Error implements error: `services.yaml:4:7: unknown key "upsteam" in service "crm"; did you mean "upstream"?`
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	switch {
	case e.Where == "":
		b.WriteString(e.Message)
	case e.key:
		b.WriteString(e.Message + " in " + e.Where)
	default:
		b.WriteString(e.Where + ": " + e.Message)
	}
	if e.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", e.Suggestion)
	}
	return b.String()
}

// Errors is all that was refused, in the order of the file.
type Errors []*Error

// Error implements error: one line each.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes errors.As find the single errors.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// maxErrors bounds what a hopeless file can make us say.
const maxErrors = 100

func (es Errors) ordered() Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(es) <= maxErrors {
		return es
	}
	last := es[maxErrors]
	return append(es[:maxErrors], &Error{Line: last.Line, Column: last.Column, Message: fmt.Sprintf("and %d more like these", len(es)-maxErrors)})
}

// At returns an error about the place of n. [Decode] adds the file and the path. The message must not
// repeat what may be a secret.
func At(n *yaml.Node, format string, args ...any) error { return at(n, format, args...) }

func at(n *yaml.Node, format string, args ...any) *Error {
	return &Error{Line: max(n.Line, 1), Column: max(n.Column, 1), Message: fmt.Sprintf(format, args...)}
}

// collect turns what an UnmarshalYAML returned into Errors. What has no place gets n's.
func collect(n *yaml.Node, err error) Errors {
	if err == nil {
		return nil
	}
	if one, ok := err.(*Error); ok { //nolint:errorlint // a wrapped one would lose the wrapping words
		return Errors{one}
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return Errors{at(n, "%s", err)}
	}
	var all Errors
	for _, e := range joined.Unwrap() {
		all = append(all, collect(n, e)...)
	}
	return all
}

// inField adds the struct field or plain map entry that es were found in.
func (es Errors) inField(name string) Errors {
	for _, e := range es {
		switch {
		case e.named:
		case e.Where == "":
			e.Where = name
		case strings.HasPrefix(e.Where, "["):
			e.Where = name + e.Where
		default:
			e.Where = name + "." + e.Where
		}
	}
	return es
}

// inNoun adds the map entry, called a noun, that es were found in.
func (es Errors) inNoun(noun, name string) Errors {
	entry := noun + " " + quote(name)
	for _, e := range es {
		switch {
		case e.named:
			continue
		case e.Where == "":
			e.Where = entry
		default:
			e.Where += " of " + entry
		}
		e.named = true
	}
	return es
}

// quote quotes what the file says, as much of it as helps to find it.
func quote(s string) string {
	const enough = 64
	if r := []rune(s[:min(len(s), 4*enough)]); len(r) > enough {
		s = string(r[:enough]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
