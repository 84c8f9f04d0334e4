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
	do := &cobra.Command{Use: "do", Short: "Do it", RunE: func(*cobra.Command, []string) error { return fail }}
	do.Flags().Bool("quickly", false, "at once")
	do.Flags().String("user", "", "of one")
	do.Flags().StringArray("of", nil, "of several")
	do.Flags().StringToString("by", nil, "of several by name")
	inner := &cobra.Command{Use: "inside", Short: "Do it inside", RunE: func(*cobra.Command, []string) error { return fail }}
	root := cli.Group(&cobra.Command{Use: "tool"}, do, cli.Group(&cobra.Command{Use: "more"}, inner))
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
		"wrong argument":  {cli.Usagef("want a name"), []string{"do"}, cli.Usage, "tool: error: want a name\nhint: tool do --help\n"},
		"unknown flag":    {nil, []string{"do", "--nope"}, cli.Usage, "tool: error: tool do has no flag --nope\nhint: tool do --help\n"},
		"misspelt flag":   {nil, []string{"do", "--quikly"}, cli.Usage, "tool: error: tool do has no flag --quikly\nhint: did you mean --quickly?\n"},
		"a flag twice":    {nil, []string{"do", "--user", "a", "--user", "b"}, cli.Usage, "it is given twice"},
		"a list twice":    {nil, []string{"do", "--of", "a", "--of", "b"}, cli.OK, ""},
		"a map twice":     {nil, []string{"do", "--by", "a=1", "--by", "b=2"}, cli.OK, ""},
		"unknown command": {nil, []string{"dance"}, cli.Usage, "tool: error: tool has no command \"dance\"\nhint: tool --help\n"},
		"misspelt":        {nil, []string{"moore"}, cli.Usage, "hint: did you mean tool more?\n"},
		"misspelt inside": {nil, []string{"more", "insdie"}, cli.Usage, "tool: error: tool more has no command \"insdie\"\nhint: did you mean tool more inside?\n"},
		"alone":           {nil, nil, cli.OK, ""},
		"a group alone":   {nil, []string{"more"}, cli.Usage, "tool more wants a command"},
		"version":         {nil, []string{"more", "inside", "--version"}, cli.OK, ""},
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
