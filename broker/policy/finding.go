package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The sorts of findings.
const (
	FindingOwnModel  = "policy-own-model"  // Casbin decides, by an operator's own model
	FindingShapes    = "policy-shapes"     // close to the bound on pattern shapes
	FindingRole      = "policy-role"       // a role without members, or without rules
	FindingRepeated  = "rule-repeated"     // says what an earlier rule says
	FindingVoid      = "rule-void"         // never matches anything
	FindingShadowed  = "rule-shadowed"     // an allow below a deny that always wins
	FindingUnknown   = "rule-unknown-name" // names what no service file has
	FindingNoEffect  = "rule-no-effect"    // allows what the broker never does
	FindingForeigner = "rule-foreign"      // names workloads that are not let in
)

// Finding is something that holds, and that the author of the rules may not have meant.
type Finding struct {
	// ID is the sort of finding: one of the Finding constants.
	ID string
	// File and Line say where; they are empty and 0 where the policy as a whole is meant.
	File string
	Line int
	// Column counts characters from 1; 0 means the whole line.
	Column  int
	Message string
	// Cure is what to do about it; may be empty.
	Cure string
}

// String returns the place and the message, as they stand in logs.
func (f Finding) String() string {
	if f.Line == 0 {
		return f.Message
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message)
}

func (f Finding) withCure(cure string) Finding {
	f.Cure = cure
	return f
}

// finding speaks of r, and of one of its fields where that is given.
func (r *compiled) finding(id, field, message string) Finding {
	f := Finding{ID: id, File: r.File, Line: r.Line, Message: message}
	if i := strings.Index(r.Text, field); field != "" && i >= 0 {
		f.Column = 1 + r.indent + utf8.RuneCountInString(r.Text[:i])
	}
	return f
}
