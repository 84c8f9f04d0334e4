package bff

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// HeaderCSRF carries the token of [CSRFToken] on every unsafe request.
const HeaderCSRF = "X-Csrf-Token"

// The reasons for which a request with a good cookie is refused.
const (
	ReasonCSRF   = "csrf_failed"
	ReasonOrigin = "origin_not_allowed"
)

// IsNavigation reports whether the browser is about to show the answer as a page: only then can a redirect
// to the provider help. Everything else, an embedded frame too, is told 401 in words that a script can
// read, but for a form ([visit.unsent]). A client that sends no Fetch Metadata is no browser that we know.
func IsNavigation(r *http.Request) bool {
	return isRead(r.Method) && isShown(r)
}

// isShown reports whether a person sees the answer, whatever was sent: a form's POST is no navigation that could be led
// elsewhere, since what it carries would be lost.
func isShown(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// isRead reports whether the method is to change nothing (RFC 9110, section 9.2.1).
func isRead(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// CSRFToken returns the token of a session: an HMAC under the session's own id, which nobody knows but the
// browser that holds the cookie. It is not stored anywhere, and one session's is of no use with another's.
func CSRFToken(id []byte) string {
	return base64.RawURLEncoding.EncodeToString(mac(id, "intercom csrf"))
}

// PublicID returns a name for a session that may be shown and logged: neither the cookie nor the key under
// which the store has it follows from it.
func PublicID(id []byte) string {
	return base64.RawURLEncoding.EncodeToString(mac(id, "intercom sid"))
}

func mac(id []byte, label string) []byte {
	h := hmac.New(sha256.New, id)
	_, _ = h.Write([]byte(label))
	return h.Sum(nil)
}

// CheckCSRF refuses requests that another site has made the browser send. SameSite cookies alone do not: a
// sibling subdomain is the same site (draft-ietf-oauth-browser-based-apps, section 6.1.3.3).
//
// An unsafe request carries the session's token, in a header that no form can set. Others come from the
// origin itself, from one on its list, or are navigations: EventSource, WebSocket and downloads cannot set
// a header. token is what the request carries.
func CheckCSRF(r *http.Request, o route.Origin, id session.ID, token string) error {
	if from, ok := originOf(r); ok && !o.Allows(from) {
		return fault.New(fault.Denied, ReasonOrigin, "requests from this origin are not allowed here")
	}
	switch {
	case hygiene.IsUpgrade(r):
		if _, ok := originOf(r); !ok { // RFC 6455, section 10.2
			return fault.New(fault.Denied, ReasonOrigin, "a WebSocket handshake of a browser says its origin")
		}
		return nil
	case isRead(r.Method):
		return checkRead(r)
	}
	return checkToken(id, token)
}

// checkToken wants the session's own token.
func checkToken(id session.ID, token string) error {
	if subtle.ConstantTimeCompare([]byte(token), []byte(CSRFToken([]byte(id.Cookie())))) != 1 {
		return fault.New(fault.Denied, ReasonCSRF, "the "+HeaderCSRF+" header must hold the csrf_token of the session")
	}
	return nil
}

// originOf returns the Origin header, if there is one. "null" is one: the origin of a page that hides it.
func originOf(r *http.Request) (string, bool) {
	values, ok := r.Header["Origin"]
	if !ok || len(values) != 1 {
		return "", ok
	}
	return values[0], true
}

// checkRead lets through what no other site can have caused, or could not read.
func checkRead(r *http.Request) error {
	if _, ok := originOf(r); ok { // which is allowed
		return nil
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return nil
	case "none", "same-site", "cross-site":
		if IsNavigation(r) {
			return nil
		}
	}
	return fault.New(fault.Denied, ReasonOrigin, "the request says neither that it comes from this origin nor from one that is allowed")
}
