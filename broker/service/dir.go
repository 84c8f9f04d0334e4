package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/intercom-broker/intercom/broker/strict"
)

// Load reads the service files of dir, as a whole or not at all.
func Load(dir string) (*Catalog, error) {
	files, err := readSettled(dir)
	if err != nil {
		return nil, err
	}
	return Parse(files)
}

// readSettled reads dir until two readings are the same, so that what is read is one state of it and not
// the half of a change. A directory that changes all the time is refused.
func readSettled(dir string) (map[string][]byte, error) {
	before, err := readFiles(dir)
	for range 10 {
		if err != nil {
			return nil, err
		}
		var after map[string][]byte
		if after, err = readFiles(dir); err == nil && maps.EqualFunc(before, after, bytes.Equal) {
			return after, nil
		}
		before = after
	}
	return nil, errors.Join(err, fmt.Errorf("%s changes while it is read", dir))
}

// readFiles returns the service files of dir under their full names.
func readFiles(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("service files: %w", err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if !isServiceFile(e.Name()) {
			continue
		}
		name := filepath.Join(dir, e.Name())
		if files[name], err = readFile(name); err != nil {
			return nil, fmt.Errorf("service files: %w", err)
		}
	}
	return files, nil
}

// isServiceFile leaves out hidden names: editors' swap files, and the `..data` of Kubernetes, through
// which the visible names are links.
func isServiceFile(name string) bool {
	ext := filepath.Ext(name)
	return !strings.HasPrefix(name, ".") && (ext == ".yaml" || ext == ".yml")
}

// readFile reads one byte more than a file may have, so that Parse refuses it. What is no file, such as a
// pipe, which would block, is refused here.
func readFile(name string) ([]byte, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
}

// stamp says in a few system calls whether dir may have changed: names, sizes and times of what its
// names point to.
func stamp(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		if !isServiceFile(e.Name()) {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			fmt.Fprintf(&b, "%q %v\n", e.Name(), err)
			continue
		}
		fmt.Fprintf(&b, "%q %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}
