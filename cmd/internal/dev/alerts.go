package dev

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// alerts shows on the terminal what the broker's log says is wrong, such as a policy that was edited and
// is refused. The log itself has everything.
type alerts struct{ out io.Writer }

// Write implements io.Writer; slog writes one line at a time.
func (a alerts) Write(line []byte) (int, error) {
	var said map[string]any
	if err := json.Unmarshal(line, &said); err != nil || said["level"] != "ERROR" {
		return len(line), nil
	}
	fmt.Fprintf(a.out, "\n%s\n", said["msg"])
	for _, key := range slices.Sorted(maps.Keys(said)) {
		if !slices.Contains([]string{"time", "level", "msg", "program", "trace"}, key) {
			text := strings.ReplaceAll(fmt.Sprint(said[key]), "\n", "\n    ")
			fmt.Fprintf(a.out, "  %s: %s\n", key, text)
		}
	}
	return len(line), nil
}
