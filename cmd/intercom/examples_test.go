package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestExamplesRun: every command has an example, and every example is a line that its command takes.
func TestExamplesRun(t *testing.T) {
	lines := 0
	walk(root(), func(c *cobra.Command) {
		if c.Runnable() && !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "  ")
			if strings.HasPrefix(line, "intercom ") {
				lines++
				takes(t, line)
			}
		}
	})
	if lines < 15 {
		t.Errorf("only %d examples", lines)
	}
}

func walk(c *cobra.Command, look func(*cobra.Command)) {
	look(c)
	for _, sub := range c.Commands() {
		walk(sub, look)
	}
}

// takes reads one line as a shell and the command would, and does not run it.
func takes(t *testing.T, line string) {
	t.Helper()
	for part := range strings.SplitSeq(line, " | ") {
		words := strings.Fields(strings.ReplaceAll(part, "'key leaked'", "leaked"))
		for i, word := range words {
			if word == ">" || word == "<" {
				words = words[:i]
				break
			}
		}
		if words[0] != "intercom" {
			continue
		}
		c, args, err := root().Find(words[1:])
		if err == nil {
			err = c.ParseFlags(args)
		}
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if err == nil {
			err = c.ValidateRequiredFlags()
		}
		if err != nil || c.HasSubCommands() {
			t.Errorf("%s: %v", part, err)
		}
	}
}
