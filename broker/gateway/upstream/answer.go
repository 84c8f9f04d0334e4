package upstream

import (
	"mime"
	"net/http"
	"slices"
	"strings"
)

// clean takes from an answer's head what is not the service's to say.
func (c *call) clean(res *http.Response) {
	h := res.Header
	cookies := settable(h["Set-Cookie"], c.pass.SetCookies)
	scrub(h)
	challenge(res, c.Service.Name)
	if len(cookies) > 0 {
		h["Set-Cookie"] = cookies
	}
	if !c.Anonymous && !isPrivate(h["Cache-Control"]) {
		h["Cache-Control"] = []string{"private, no-store"}
	}
	if at := h["Location"]; len(at) == 1 {
		h["Location"] = []string{locate(at[0], c.Service)}
	}
}

// challenge removes the challenges for which a browser opens a dialog. It would be for the password of something that the
// person has never heard of, in the name of our origin, and what is typed there is not passed on; a script that has called
// waits for it meanwhile. A 401 must say something (RFC 9110, section 11.6.1), and of a scheme that it does not know a
// browser makes nothing: so it is which service has refused.
func challenge(res *http.Response, service string) {
	all := res.Header["Www-Authenticate"]
	if len(all) == 0 {
		return
	}
	kept := slices.DeleteFunc(all, opensDialog)
	if len(kept) == 0 {
		kept = []string{`Intercom service="` + service + `"`}
	}
	res.Header["Www-Authenticate"] = kept
}

// opensDialog reports whether a challenge, or one of a list of them, may open one, or says nothing. It looks at words, wherever they stand:
// browsers do not agree where a list is cut.
func opensDialog(challenges string) bool {
	words := strings.FieldsFunc(challenges, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`,;="`, r) })
	return len(words) == 0 || slices.ContainsFunc(words, func(word string) bool {
		switch strings.ToLower(word) {
		case "basic", "digest", "ntlm", "negotiate", "kerberos":
			return true
		}
		return false
	})
}

// scrub removes the fields that no service sets at the browser.
func scrub(h http.Header) {
	for name := range h {
		if isOurs(name) {
			delete(h, name)
		}
	}
}

func isOurs(name string) bool {
	switch name {
	case "Set-Cookie", "Set-Cookie2", "Authorization":
		return true
	// These speak for the whole origin, on which the service is one of many: they end all sessions, take over
	// the paths of others, or send reports of them elsewhere.
	case "Alt-Svc", "Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "Public-Key-Pins", "Nel", "Report-To":
		return true
	// These speak to servers on the way, and some overrule Cache-Control (RFC 9213). X-Accel-Buffering only asks
	// them to stream.
	case "Surrogate-Control", "X-Accel-Redirect", "X-Accel-Expires", "X-Sendfile":
		return true
	}
	return strings.HasPrefix(name, "Access-Control-") || strings.HasPrefix(name, "Intercom-") || strings.HasPrefix(name, "Proxy-") ||
		strings.HasSuffix(name, "Cdn-Cache-Control")
}

// isPrivate reports whether a Cache-Control lets no shared cache keep the answer (RFC 9111, section 5.2.2). One
// with quoted arguments is not looked into: `private="set-cookie"` makes one field private, and the rest not.
func isPrivate(values []string) bool {
	private := false
	for _, v := range values {
		if strings.Contains(v, `"`) {
			return false
		}
		for directive := range strings.SplitSeq(v, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "private", "no-store":
				private = true
			case "public", "s-maxage":
				return false
			}
		}
	}
	return private
}

const events = "text/event-stream"

// isEvents reports whether the answer is an event stream.
func isEvents(h http.Header) bool {
	if t := h.Get("Content-Type"); len(t) < len(events) || !strings.EqualFold(t[:len(events)], events) {
		return false // most are not, and that is seen at once
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && kind == events
}
