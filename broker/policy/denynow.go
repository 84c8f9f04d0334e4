package policy

import "time"

// DenyNow writes a rule that denies what, a subject or a resource, for d into a file of its own in dir,
// and returns the file's name. The rule ends by itself; the file may be deleted at any time.
func DenyNow(dir, what string, d time.Duration, why string, now time.Time) (file string, err error) {
	panic("not yet")
}
