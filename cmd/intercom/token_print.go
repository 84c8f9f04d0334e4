package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// printMembers prints a JSON object, a line a member, the usual ones first.
func printMembers(w io.Writer, members map[string]any, usual []string, remark func(string, any) string) {
	names := slices.DeleteFunc(slices.Clone(usual), func(name string) bool { _, ok := members[name]; return !ok })
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(usual, name) {
			names = append(names, name)
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range names {
		fmt.Fprintf(table, "  %s\t%s", harmless(name), harmless(text(members[name])))
		if note := remark(name, members[name]); note != "" {
			fmt.Fprintf(table, "  %s", note)
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush()
}

// text is a value as JSON has it, without the quotes of a string.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	out, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(out)
}
