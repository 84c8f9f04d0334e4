package stack

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed wrappers
var wrappers embed.FS

// component is what is built together and kept in one folder of the cache.
type component struct {
	name     string
	version  string
	binaries []binary
	packages []string // what `go build` is told to build inside the wrapper module
	ldflags  string
	needs    []need // what the build wants beside Go
	cost     string // of a build from empty caches, for people who wait
}

// binary is one of a component's programs.
type binary struct {
	name string
	ask  string // the argument that makes it print its version
	says string // what the answer starts with when the version fits
}

// need is a program that a build calls, and the Debian packages that bring it.
type need struct {
	command string
	debian  []string
}

// components is the table. A new component needs a line here, a folder in wrappers, and a file that
// starts it.
func components() []component {
	return []component{
		{
			name: "vault", version: "1.14.1", packages: []string{"."}, ldflags: "-s -w",
			binaries: []binary{{"vault", "version", "Vault v1.14.1 "}},
			cost:     "about 8 minutes on two idle cores, 2.4 GB of memory",
		},
		{
			name: "spire", version: "1.15.3",
			packages: []string{"github.com/spiffe/spire/cmd/spire-server", "github.com/spiffe/spire/cmd/spire-agent"},
			// Without the tag, or with a leading v in it, both panic at start.
			ldflags:  "-s -w -X github.com/spiffe/spire/pkg/common/version.gittag=1.15.3",
			binaries: []binary{{"spire-server", "--version", "1.15.3"}, {"spire-agent", "--version", "1.15.3"}},
			needs:    []need{{"gcc", []string{"gcc", "libc6-dev"}}}, // cgo, for SQLite
			cost:     "about 9 minutes on two idle cores, 3.2 GB of memory",
		},
	}
}

// lookup finds the component that a binary belongs to.
func lookup(name string) (component, binary, error) {
	for _, c := range components() {
		for _, b := range c.binaries {
			if b.name == name {
				return c, b, nil
			}
		}
	}
	return component{}, binary{}, fmt.Errorf("stack: no component has a binary %q", name)
}

// sources are the files of the wrapper module, by the names that they have when they are written out.
// They are stored with a .txt behind, because a folder with a go.mod of its own cannot be embedded.
func (c component) sources() (map[string][]byte, error) {
	dir := path.Join("wrappers", c.name)
	entries, err := fs.ReadDir(wrappers, dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(entries))
	for _, e := range entries {
		data, err := fs.ReadFile(wrappers, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files[strings.TrimSuffix(e.Name(), ".txt")] = data
	}
	return files, nil
}
