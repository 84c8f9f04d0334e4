package bff

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/service"
)

// locationField is where a redirect leads that a script's browser does not follow by itself.
const locationField = "Intercom-Location"

// holdBack keeps the token of [CSRFToken] at home. A browser takes Authorization from a request that is redirected to another
// origin, and no other field (Fetch standard, "HTTP-redirect fetch"): a service that redirects wherever it is told to would
// send the token there. Without a Location there is nothing to follow, and the script gets the answer as it is: it may go
// there by itself, with what it likes.
func holdBack(res *http.Response, sent http.Header, home string) {
	at := res.Header["Location"]
	if res.StatusCode/100 != 3 || !slices.ContainsFunc(at, func(l string) bool { return leaves(l, home) }) {
		return
	}
	res.Header["Vary"] = append(res.Header["Vary"], HeaderCSRF) // whoever keeps one answer must not give it for the other
	if sent[HeaderCSRF] == nil {
		return
	}
	delete(res.Header, "Location")
	res.Header[locationField] = at[:1]
}

// leaves reports whether a Location may lead a browser away from the origin home. Browsers read addresses in more ways
// than net/url (URL standard, "basic URL parser"): a backslash is a slash, tabs are not there, and three slashes begin a
// host. What they could read otherwise is taken to leave.
func leaves(location, home string) bool {
	u, err := url.Parse(location)
	switch {
	case err != nil, strings.ContainsFunc(location, func(r rune) bool { return r <= ' ' || r == '\\' }):
		return true
	case u.Scheme == "" && u.Host == "":
		return strings.HasPrefix(location, "//")
	}
	return u.User != nil || service.Origin(u) != home
}
