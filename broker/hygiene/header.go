package hygiene

import "net/http"

// maxName is the longest field name that travels.
const maxName = 128

// ForwardHeaders copies from src to dst the fields that may travel to an upstream, as the package comment
// describes them, and none that folds to one of the managed names: those are the caller's to set, after
// this. It never changes src; the values in dst are safe to append to.
func ForwardHeaders(dst, src http.Header, managed ...string) {
	nominated := src["Connection"]
	for name, values := range src {
		if !travels(name) || isManaged(name, managed) || len(nominated) > 0 && hasToken(nominated, name) {
			continue
		}
		dst[name] = values[:len(values):len(values)]
	}
	// The one hop-by-hop field that says something end to end: gRPC servers refuse calls without it.
	if hasToken(src["Te"], "trailers") {
		dst["Te"] = []string{"trailers"}
	}
}

func isManaged(name string, managed []string) bool {
	for _, m := range managed {
		if SameField(name, m) {
			return true
		}
	}
	return false
}

// SameField reports whether two field names are one to a reader that folds them: that ignores case and takes
// `_` and `.` for `-`, as CGI, WSGI and PHP do.
func SameField(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_', c == '.':
		return '-'
	default:
		return c
	}
}

// travels reports whether a field of that name may be sent on.
func travels(name string) bool {
	var room [maxName]byte
	folded, ok := foldName(&room, name)
	return ok && !isClosed(string(folded))
}

// foldName returns the name as readers that fold it see it, in room, unless it is empty, too long or no such name.
func foldName(room *[maxName]byte, name string) ([]byte, bool) {
	if name == "" || len(name) > maxName {
		return nil, false
	}
	for i := range len(name) {
		c := fold(name[i])
		if !isAlnum(c) && c != '-' {
			return nil, false
		}
		room[i] = c
	}
	return room[:len(name)], true
}
