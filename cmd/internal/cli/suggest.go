package cli

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
)

// Group makes c a command that only holds others: alone it prints its help, and a word that none of them
// is called by is answered with the one that was probably meant.
func Group(c *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	c.Args = unknownCommand
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.Help(); err != nil || !cmd.HasParent() {
			return err
		}
		return Usagef("%s wants a command", cmd.CommandPath())
	}
	c.AddCommand(commands...)
	return c
}

// unknownCommand refuses any word: a known one would have led to its command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := Usagef("%s has no command %q", cmd.CommandPath(), args[0])
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	if near := nearest(args[0], known); near != "" {
		return Hint(err, "did you mean %s %s?", cmd.CommandPath(), near)
	}
	return err
}

// unknownFlag adds what was probably meant to pflag's complaint about a flag.
func unknownFlag(cmd *cobra.Command, err error) error {
	given, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	var known []string
	for word := range strings.FieldsSeq(cmd.Flags().FlagUsages()) {
		if name, ok := strings.CutPrefix(word, "--"); ok {
			known = append(known, name)
		}
	}
	if near := nearest(given, known); near != "" {
		return Hint(fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), given), "did you mean --%s?", near)
	}
	return fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), given)
}

// nearest returns the known word that is nearest to word, and "" when none is near: at most a third of
// the letters may differ, and one that word begins is near enough.
func nearest(word string, known []string) string {
	best, least := "", len(word)/3+1
	for _, k := range known {
		if len(word) > 2 && strings.HasPrefix(k, word) {
			return k
		}
		if d := levenshtein.ComputeDistance(word, k); d < least || d == least && best == "" {
			best, least = k, d
		}
	}
	return best
}
