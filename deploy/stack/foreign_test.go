package stack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// script writes a script whose folder is no place to find packages in.
func script(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPython(t *testing.T) {
	stack.Python(t, "") // first: where the packages are fetched, that heeds the variable
	t.Setenv("REQUESTS_CA_BUNDLE", "/nowhere")
	file := script(t, "s.py", "import authlib, cryptography, os, requests, sys\nprint(sys.prefix, *sys.argv[1:])\nassert '/nowhere' not in os.environ.values()")
	out, err := stack.Python(t, file, "a", "b c").CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), " a b c") {
		t.Errorf("%v\n%s", err, out)
	}
	cache, err := os.UserCacheDir()
	if err != nil || !strings.HasPrefix(string(out), cache) {
		t.Errorf("it does not run where its packages are: %s", out)
	}
}

func TestNode(t *testing.T) {
	file := script(t, "s.mjs", "import 'openid-client'; import 'jose'; import 'undici'; console.log(process.argv.slice(2).join('|'))")
	out, err := stack.Node(t, file, "a", "b c").CombinedOutput()
	if err != nil || string(out) != "a|b c\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestGRPCurl(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), stack.Binary(t, "grpcurl"), "-version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "grpcurl v1.9.3") {
		t.Errorf("%v\n%s", err, out)
	}
}
