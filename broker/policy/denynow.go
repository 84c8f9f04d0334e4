package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// DenyNow writes a rule that denies what, a subject or a resource, for d into a file of its own in dir,
// and returns the file's name. A subject is denied everything; a resource is denied to everybody, with all
// that is below it. The rule ends by itself, by a condition; the file may be deleted at any time.
//
// The policy with the new file is checked before the file is put in place: where the directory would be
// refused with it, or is refused already, nobody would read the rule, and DenyNow says so instead.
func DenyNow(dir, what string, d time.Duration, why string, now time.Time) (file string, err error) {
	if d <= 0 || strings.TrimSpace(why) == "" {
		return "", errors.New("policy: a deny needs how long and why")
	}
	until := now.Add(d).UTC().Truncate(time.Second).Format(time.RFC3339)
	rules, err := denyRules(what, until)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("# Denied until %s: %s\n%s", until, oneLine(why), rules)
	sum := sha256.Sum256([]byte(what))
	name := fmt.Sprintf("deny-now-%s-%x.csv", now.UTC().Format("20060102T150405Z"), sum[:3])
	if err := tryFile(dir, name, []byte(text)); err != nil {
		return "", err
	}
	file = filepath.Join(dir, name)
	return file, writeFile(file, []byte(text))
}

// CheckDeny says why what cannot be denied, before anything is written or recorded.
func CheckDeny(what string) error {
	_, err := denyRules(what, "")
	return err
}

// denyRules returns the lines that deny what until then.
func denyRules(what, until string) (string, error) {
	condition := "r.time.unix < '" + until + "'"
	line := func(subject, resource string) string {
		return joinLine("p", subject, one, resource, deny, condition) + "\n"
	}
	_, notSubject := parseSubject(what)
	if notSubject == nil && what != anything {
		return line(what, anything), nil
	}
	p, notResource := parseResource(what)
	switch {
	case what == anything:
		return "", errors.New("policy: `**` alone would deny everything to everybody; name a subject or a resource")
	case notResource != nil:
		return "", fmt.Errorf("policy: %q is neither a subject (%s) nor a resource", what, notSubject.message)
	case unknownType(p.segs[0], resourceTypes()) != "":
		return "", fmt.Errorf("policy: %q is neither a subject (%s) nor a resource: %s", what, notSubject.message, unknownType(p.segs[0], resourceTypes()))
	case p.literal():
		return line(anything, what) + line(anything, strings.TrimSuffix(what, "/")+"/"+rest), nil
	}
	return line(anything, what), nil
}

// oneLine keeps a reason from becoming a rule.
func oneLine(why string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, why)
}

func tryFile(dir, name string, data []byte) error {
	src, err := readWhole(os.DirFS(dir))
	if err != nil {
		return inDir(dir, asProblems(err))
	}
	if !shipped(src.model) {
		return fmt.Errorf("policy: %s in %s is your own, and Intercom does not know how it denies; write the rule yourself", modelFile, dir)
	}
	src.files = append(src.files, txtar.File{Name: name, Data: data})
	_, err = compile(src)
	return inDir(dir, err)
}

// writeFile puts a whole file in place. Its name while it is written begins with a dot, which is not read.
func writeFile(name string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(name), ".deny-now-*")
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()) // rules are no secret, and the broker is often another user
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("policy: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}
