package bff

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/gateway/route"
)

// corsMaxAge is for how long a browser may keep the answer to a preflight, in seconds.
const corsMaxAge = "600"

// exposed are the fields of an answer of ours that scripts of other origins may read beyond the safelisted ones.
const exposed = "Content-Length, ETag, Intercom-Decision, Link, Location, Retry-After, WWW-Authenticate"

// IsPreflight reports whether r asks what may be asked (Fetch standard, "CORS-preflight fetch").
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// Preflight answers it from the configuration alone: no session, no policy and no upstream is looked at. An
// origin that is not allowed gets no field, which the browser takes for a no.
func Preflight(w http.ResponseWriter, r *http.Request, o route.Origin, methods []string) {
	h := w.Header()
	AddCORS(h, r, o)
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		h.Set("Access-Control-Max-Age", corsMaxAge)
		if asked := r.Header.Get("Access-Control-Request-Headers"); isFieldList(asked) {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	h.Add("Vary", "Access-Control-Request-Method")
	h.Add("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
}

// AddCORS says who may read the answer, refusals too: a page must be able to tell 401 from a broken network.
// It takes away what an upstream has said of it.
func AddCORS(h http.Header, r *http.Request, o route.Origin) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	allow(h, r, o)
}

// allow is AddCORS for an answer that says nothing of it yet.
func allow(h http.Header, r *http.Request, o route.Origin) {
	h["Vary"] = append(h["Vary"], "Origin")
	from, ok := originOf(r)
	if !ok || from == o.URL || !o.Allows(from) { // its own pages need no leave
		return
	}
	h.Set("Access-Control-Allow-Origin", from)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", exposed)
}

// expose lets the page read all that a service says in the head of its answer, as the origin's own pages do: file names,
// ranges, counts of pages. A list of ours would not know what services say.
func expose(h http.Header) {
	if h["Access-Control-Allow-Origin"] != nil {
		h["Access-Control-Expose-Headers"] = []string{strings.Join(slices.Sorted(maps.Keys(h)), ", ")}
	}
}

// isFieldList reports whether a list of names can be said back: tokens and commas, and not too many.
func isFieldList(s string) bool {
	return s != "" && len(s) <= 1024 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_, ", r)
	})
}
