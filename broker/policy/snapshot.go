package policy

import (
	"context"
	"io/fs"
)

// Snapshot is one policy, compiled. It never changes.
type Snapshot struct{}

// Load reads, checks and compiles the policy in dir. What it refuses it names by file and line, as
// [Problems].
func Load(dir string) (*Snapshot, error) { panic("not yet") }

// LoadFS is Load for a file system.
func LoadFS(fsys fs.FS) (*Snapshot, error) { panic("not yet") }

// Revision is a short hash of the model and all rules.
func (s *Snapshot) Revision() string { panic("not yet") }

// Warnings are what was accepted and should be looked at.
func (s *Snapshot) Warnings() []string { panic("not yet") }

// Custom reports whether the directory has a model.conf of the operator's own, which Casbin decides.
func (s *Snapshot) Custom() bool { panic("not yet") }

// Rules returns how many rules there are.
func (s *Snapshot) Rules() int { panic("not yet") }

// Decide implements [Decider].
func (s *Snapshot) Decide(ctx context.Context, r Request) (Decision, error) { panic("not yet") }

// Explain decides and gives the grounds.
func (s *Snapshot) Explain(ctx context.Context, r Request) (Explanation, error) { panic("not yet") }
