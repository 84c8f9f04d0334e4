package strict

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Config is the one file of a process.
type Config interface {
	// Paths are the paths that the file names, where they stand, and those that it has by name; nil is none.
	Paths() (paths []*string, named map[string]string)
	// Validate says what cannot work, as [Locate] wants it.
	Validate() error
}

// Load reads file into c, makes its paths absolute, of which the relative ones are relative to the file, and
// checks it. Paths are absolute also in a file that does not hold: who reports its mistakes goes on with what it
// names.
func Load(file string, c Config) error {
	data, err := read(file)
	if err != nil {
		return err
	}
	refused := Decode(file, data, c)
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return errors.Join(refused, err)
	}
	paths, named := c.Paths()
	for _, p := range paths {
		*p = absolute(dir, *p)
	}
	for name, path := range named {
		named[name] = absolute(dir, path)
	}
	if refused != nil {
		return refused
	}
	return Locate(file, data, c.Validate())
}

func absolute(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxBytes {
		return nil, fmt.Errorf("%s: larger than 16 MiB", file)
	}
	return os.ReadFile(file)
}
