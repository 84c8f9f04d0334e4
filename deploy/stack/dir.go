package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// maxSocketPath is what sun_path holds before its terminating NUL (unix(7)).
const maxSocketPath = 107

// dirPrefix is short, because sockets stand below it.
const dirPrefix = "icst-"

// ownerFile is locked for as long as the process lives that made the folder.
const ownerFile = "owner"

// newDir makes a folder for a server's files and sweeps those whose owner is dead. The function that it
// returns removes the folder.
func newDir() (dir string, remove func(), err error) {
	base := os.TempDir()
	if len(base) > 40 { // a socket three names below would not fit
		base = "/tmp"
	}
	sweep(base)
	dir, err = os.MkdirTemp(base, dirPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("stack: %w", err)
	}
	owner, err := os.OpenFile(filepath.Join(dir, ownerFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		_, err = tryLock(owner)
	}
	if err != nil {
		return "", nil, fmt.Errorf("stack: %w", err)
	}
	return dir, func() {
		_ = os.RemoveAll(dir)
		_ = owner.Close()
	}, nil
}

// sweep removes folders whose owner is dead: a test binary that is killed, by its timeout for one,
// removes nothing itself. Young ones may just not be locked yet.
func sweep(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, dirPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if ownerDead(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}

func ownerDead(dir string) bool {
	f, err := os.Open(filepath.Join(dir, ownerFile))
	if err != nil {
		return false // not ours to judge
	}
	defer func() { _ = f.Close() }()
	dead, err := tryLock(f)
	return dead && err == nil
}
