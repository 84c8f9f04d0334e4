package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// auditDir looks whether the process could write its audit log: without it nothing starts, and nothing is granted. It must run
// as the process' own user to know. A file is made and removed; a directory that is not there yet is made by the process.
func auditDir(dir string) func(context.Context, rows) {
	return func(_ context.Context, r rows) {
		at := key("audit.dir")
		parent, made := dir, true
		for info, err := os.Stat(parent); ; info, err = os.Stat(parent) {
			switch up := filepath.Dir(parent); {
			case err == nil && !info.IsDir():
				r.fail(at, "name a directory", "%s is none", parent)
				return
			case err == nil:
				tryDir(r, at, parent, made)
				return
			case !errors.Is(err, fs.ErrNotExist) || up == parent:
				r.fail(at, "name a directory that this user may write to", "%s", why(err))
				return
			default:
				parent, made = up, false
			}
		}
	}
}

func tryDir(r rows, at place, dir string, made bool) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		r.fail(at, "let this user write to it, or name another directory", "%s", why(err))
		return
	}
	_, name := f.Close(), f.Name()
	if err := os.Remove(name); err != nil {
		r.warn(at, "remove "+name, "%s", why(err))
		return
	}
	if !made {
		r.ok("it is not there yet, and may be made in %s", dir)
		return
	}
	r.ok("it may be written to")
}
