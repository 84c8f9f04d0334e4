package doctor

import (
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/intercom-broker/intercom/broker/strict"
)

// file is a configuration file as it was read, to name lines of it.
type file struct {
	name string
	data []byte
}

func readFile(name string) file {
	data, _ := os.ReadFile(name) // without it no lines are named
	return file{name, data}
}

// place is where a setting stands: a dotted key of the process's file, or a position in another one.
type place struct{ key, pos string }

func key(dotted string) place { return place{key: dotted} }

// in returns the key, and the file and the line that it is in.
func (p place) in(f file) (setting, name string, line int) {
	switch {
	case p.pos != "":
		return splitPos(p.pos)
	case p.key == "":
		return "", "", 0
	}
	return p.key, f.name, f.line(p.key)
}

// line returns the line of a key, or of the nearest one above it; 0 where not even the first word of it stands there.
func (f file) line(dotted string) int {
	first, _, _ := strings.Cut(dotted, ".")
	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(first) + `\s*:`).Match(f.data) {
		return 0
	}
	located := strict.Locate(f.name, f.data, errors.New(dotted+": "))
	if list, ok := errors.AsType[strict.Errors](located); ok && len(list) == 1 {
		return list[0].Line
	}
	return 0
}

// splitPos takes file:line:column apart; the file's name may hold colons too.
func splitPos(pos string) (setting, name string, line int) {
	parts := strings.Split(pos, ":")
	if len(parts) < 3 {
		return "", pos, 0
	}
	line, _ = strconv.Atoi(parts[len(parts)-2])
	return "", strings.Join(parts[:len(parts)-2], ":"), line
}
