package policy

import (
	"fmt"
	"strings"
)

// Problem is one reason for which a policy is refused.
type Problem struct {
	File string
	// Line is 0 where the file as a whole is meant.
	Line    int
	Message string
	// Cure is what to do about it; may be empty.
	Cure string
}

// Error implements error: `policy.csv:12: unknown effect "Deny"; write "deny"`.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": " + p.Message)
	if p.Cure != "" {
		b.WriteString("; " + p.Cure)
	}
	return b.String()
}

// Problems are all that were found, at most 20.
type Problems []*Problem

// Error implements error, one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, each := range p {
		lines[i] = each.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, each := range p {
		errs[i] = each
	}
	return errs
}
