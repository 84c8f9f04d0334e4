package policy

import "os"

// Draft is what a directory says, also where it is refused: what is wrong with one rule hides nothing that is the matter
// with another. It decides nothing.
type Draft struct {
	rules *Snapshot
	whole bool
}

// Whole returns the policy that decides, and nil where it is refused.
func (d Draft) Whole() *Snapshot {
	if !d.whole {
		return nil
	}
	return d.rules
}

// Examine reads dir as [Load] does. The error is Load's, and with one the Draft has the rules that could be read; where
// that is not even known, it is empty.
func Examine(dir string) (Draft, error) {
	src, err := readWhole(os.DirFS(dir))
	if err != nil {
		_, err = Load(dir)
		return Draft{}, err
	}
	s, err := draft(src)
	return Draft{s, err == nil}, inDir(dir, err)
}

// Findings are those of [Snapshot.Findings].
func (d Draft) Findings() []Finding {
	if d.rules == nil {
		return nil
	}
	return d.rules.Findings()
}

// Lint is [Snapshot.Lint].
func (d Draft) Lint(k Known) []Finding {
	if d.rules == nil {
		return nil
	}
	return d.rules.Lint(k)
}

// Domains are those of [Snapshot.Domains].
func (d Draft) Domains() map[string]int {
	if d.rules == nil {
		return nil
	}
	return d.rules.Domains()
}
