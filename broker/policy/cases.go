package policy

import "io/fs"

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
// against s otherwise. A case that cannot be read is an error.
func RunCases(fsys fs.FS, s *Snapshot) ([]CaseResult, error) { panic("not yet") }
