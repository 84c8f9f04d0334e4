package upstream

import (
	"net/http"
	"slices"
	"strings"
)

// Cookies are shared by all that an origin serves. What passes is what the service file names, and a name that
// begins with one of the prefixes of our own never does, whatever a file says.

// passing returns what a service gets of a request's Cookie fields, and "" for nothing: the pairs whose names
// are given. A name that comes twice does not pass: some other host or path has set one of the two, and which of
// them a server believes is its own affair. Nor does a value that opens a quote and does not close it: a server
// that reads quotes (RFC 2109 had them) would find another cookie's text in it.
func passing(fields, names []string) string {
	if len(names) == 0 {
		return ""
	}
	var kept []string
	seen := map[string]int{}
	for _, field := range fields {
		for pair := range strings.SplitSeq(field, ";") {
			pair = strings.Trim(pair, " \t")
			name, value, ok := strings.Cut(pair, "=")
			if name = strings.TrimRight(name, " \t"); !ok || !isTheirs(name, names) {
				continue
			}
			seen[name]++
			if value = strings.TrimLeft(value, " \t"); !opensQuote(value) {
				kept = append(kept, name+"="+value)
			}
		}
	}
	kept = slices.DeleteFunc(kept, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return seen[name] > 1
	})
	return strings.Join(kept, "; ")
}

func isTheirs(name string, names []string) bool {
	if !slices.Contains(names, name) {
		return false
	}
	lower := strings.ToLower(name) // as browsers compare the prefixes
	return !strings.HasPrefix(lower, "__host-") && !strings.HasPrefix(lower, "__http-") && !strings.HasPrefix(lower, "__secure-")
}

func opensQuote(value string) bool {
	return strings.HasPrefix(value, `"`) && (len(value) == 1 || !strings.HasSuffix(value, `"`))
}

// settable returns the Set-Cookie fields of the given names, as they came.
func settable(fields, names []string) (kept []string) {
	if len(names) == 0 {
		return nil
	}
	for _, field := range fields {
		if c, err := http.ParseSetCookie(field); err == nil && isTheirs(c.Name, names) {
			kept = append(kept, field)
		}
	}
	return kept
}
