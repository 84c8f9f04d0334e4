package hygiene

import "net/http"

// IsAhead reports whether a browser loads ahead what nobody has asked for yet, and perhaps nobody will: by Sec-Purpose
// (Fetch standard), or by what browsers said before it (Purpose in Chrome, X-Moz in Firefox, X-Purpose in Safari). Such a
// request must change nothing.
func IsAhead(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}
