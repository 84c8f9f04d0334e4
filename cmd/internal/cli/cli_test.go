package cli_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/spf13/cobra"
)

func run(t *testing.T, fail error, args ...string) (code int, stderr string) {
	t.Helper()
	root := &cobra.Command{Use: "tool"}
	root.AddCommand(&cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error { return fail }})
	root.SetArgs(args)
	root.SetOut(&bytes.Buffer{})
	var errOut bytes.Buffer
	root.SetErr(&errOut)
	return cli.Run(t.Context(), root, &errOut), errOut.String()
}

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		fail error
		args []string
		code int
		says string
	}{
		"done":            {nil, []string{"do"}, cli.OK, ""},
		"failed":          {errors.New("no luck"), []string{"do"}, cli.Failed, "tool: error: no luck\n"},
		"said already":    {cli.Silent, []string{"do"}, cli.Failed, ""},
		"with a cure":     {cli.Hint(errors.New("no key"), "run %s", "keygen"), []string{"do"}, cli.Failed, "tool: error: no key\nhint: run keygen\n"},
		"wrong argument":  {cli.Usagef("want a name"), []string{"do"}, cli.Usage, "tool: error: want a name\nhint: tool --help\n"},
		"unknown flag":    {nil, []string{"do", "--nope"}, cli.Usage, "unknown flag: --nope"},
		"unknown command": {nil, []string{"dance"}, cli.Usage, "unknown command"},
	} {
		code, stderr := run(t, c.fail, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) || (c.says == "" && stderr != "") {
			t.Errorf("%s: exit %d, stderr %q; want exit %d and %q", name, code, stderr, c.code, c.says)
		}
	}
}

func TestPaintIsPlainOffATerminal(t *testing.T) {
	if got := cli.PaintFor(&bytes.Buffer{}).Bad("x"); got != "x" {
		t.Errorf("coloured output into a buffer: %q", got)
	}
}
