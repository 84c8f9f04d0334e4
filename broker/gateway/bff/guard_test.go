package bff_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

var (
	icom = route.Origin{URL: "https://icom.test", CORS: []string{"https://app.test"}}
	id   = session.NewID()
)

// request has headers as "Name: value" lines.
func request(method string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "https://icom.test/orders", nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

const (
	navigate   = "Sec-Fetch-Mode: navigate"
	document   = "Sec-Fetch-Dest: document"
	sameOrigin = "Sec-Fetch-Site: same-origin"
	sameSite   = "Sec-Fetch-Site: same-site"
	crossSite  = "Sec-Fetch-Site: cross-site"
	own        = "Origin: https://icom.test"
	allowed    = "Origin: https://app.test"
	sibling    = "Origin: https://evil.icom.test"
)

var upgrade = []string{"Connection: Upgrade", "Upgrade: websocket"}

func TestIsNavigation(t *testing.T) {
	for name, c := range map[string]struct {
		r    *http.Request
		want bool
	}{
		"a page":           {request("GET", navigate, document), true},
		"its head":         {request("HEAD", navigate, document), true},
		"a posted form":    {request("POST", navigate, document), false},
		"a frame":          {request("GET", navigate, "Sec-Fetch-Dest: iframe"), false},
		"fetch":            {request("GET", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), false},
		"curl":             {request("GET", "Accept: text/html"), false},
		"XMLHttpRequest":   {request("GET", "X-Requested-With: XMLHttpRequest"), false},
		"a service worker": {request("GET", navigate, "Sec-Fetch-Dest: serviceworker"), false},
	} {
		if got := bff.IsNavigation(c.r); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestCheckCSRF(t *testing.T) {
	token := bff.CSRFToken([]byte(id.Cookie()))
	for name, c := range map[string]struct {
		r     *http.Request
		token string
		want  string // the reason; empty: it passes
	}{
		"fetch of the page itself":           {request("GET", sameOrigin), "", ""},
		"fetch of an allowed origin":         {request("GET", sameSite, allowed), "", ""},
		"a link from a mail":                 {request("GET", crossSite, navigate, document), "", ""},
		"a typed address":                    {request("GET", "Sec-Fetch-Site: none", navigate, document), "", ""},
		"an image on a sibling":              {request("GET", sameSite, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"), "", bff.ReasonOrigin},
		"a script on another site":           {request("GET", crossSite, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"), "", bff.ReasonOrigin},
		"a frame on another site":            {request("GET", crossSite, navigate, "Sec-Fetch-Dest: iframe"), "", bff.ReasonOrigin},
		"fetch of a sibling":                 {request("GET", sameSite, sibling), "", bff.ReasonOrigin},
		"a page that hides its origin":       {request("GET", crossSite, "Origin: null"), "", bff.ReasonOrigin},
		"two origins":                        {request("GET", sameOrigin, own, sibling), "", bff.ReasonOrigin},
		"nothing at all":                     {request("GET"), "", bff.ReasonOrigin},
		"a post with the token":              {request("POST", sameOrigin, own), token, ""},
		"a post of an allowed origin":        {request("POST", sameSite, allowed), token, ""},
		"a post without the token":           {request("POST", sameOrigin, own), "", bff.ReasonCSRF},
		"a post with another session's":      {request("POST", sameOrigin, own), bff.CSRFToken([]byte("another session")), bff.ReasonCSRF},
		"a post of a sibling with the token": {request("POST", sameSite, sibling), token, bff.ReasonOrigin},
		"a form on a sibling":                {request("POST", sameSite, sibling, navigate, document), "", bff.ReasonOrigin},
		"a delete":                           {request("DELETE", sameOrigin), "", bff.ReasonCSRF},
		"an unknown method":                  {request("PURGE", sameOrigin), "", bff.ReasonCSRF},
		"a socket of the page itself":        {request("GET", append(upgrade, own)...), "", ""},
		"a socket of an allowed origin":      {request("GET", append(upgrade, allowed)...), "", ""},
		"a socket of a sibling":              {request("GET", append(upgrade, sibling)...), "", bff.ReasonOrigin},
		"a socket of nobody":                 {request("GET", append(upgrade, sameOrigin)...), "", bff.ReasonOrigin},
	} {
		err := bff.CheckCSRF(c.r, icom, id, c.token)
		if got := fault.From(err); (err == nil) != (c.want == "") || err != nil && (got.Reason != c.want || got.Kind != fault.Denied) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestNamesOfASession: none of them tells another.
func TestNamesOfASession(t *testing.T) {
	id := []byte("an id of thirty-two random bytes")
	if a, b := bff.CSRFToken(id), bff.PublicID(id); a == b || len(a) != 43 || strings.Contains(a, string(id)) || a == bff.CSRFToken(id[1:]) {
		t.Errorf("%q, %q", a, b)
	}
}
