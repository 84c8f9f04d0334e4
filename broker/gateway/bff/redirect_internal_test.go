package bff

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const home = "https://icom.test"

// TestHoldBack: what carries the token is not redirected to another origin, and the script is told where it would have been.
func TestHoldBack(t *testing.T) {
	for to, stays := range map[string]bool{
		"/a?b#c": true, "a": true, "?a": true, "": true, "../a": true, "https://icom.test/a": true, "https://icom.test": true, "HTTPS://ICOM.test:443/": true,
		"https://evil.test/": false, "//evil.test": false, "///evil.test": false, `/\evil.test`: false, `\\evil.test`: false, "/\t/evil.test": false,
		" https://evil.test": false, "https:///evil.test": false, "https:evil.test": false, "http://icom.test/": false, "https://icom.test:8443/": false,
		"https://icom.test@evil.test/": false, "https://evil.test@icom.test/": false, "https://icom.test.evil.test/": false, `https://icom.test\@evil.test/`: false,
		"data:,": false, "blob:https://icom.test/1": false,
	} {
		res := &http.Response{StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {to}}}
		holdBack(res, http.Header{HeaderCSRF: {"token"}}, home)
		kept, told := res.Header["Location"] != nil, res.Header.Get(locationField)
		if kept != stays || !stays && told != to || stays && told != "" || (res.Header["Vary"] != nil) == stays {
			t.Errorf("%q: %v", to, res.Header)
		}
	}
}

// TestHoldBackSparesOthers: navigations, which carry no token, what is no redirect, and more Locations than one.
func TestHoldBackSparesOthers(t *testing.T) {
	away := []string{"https://evil.test/"}
	for _, c := range []struct {
		status int
		sent   http.Header
		at     []string
		stays  bool
	}{
		{303, http.Header{}, away, true},
		{201, http.Header{HeaderCSRF: {"token"}}, away, true},
		{302, http.Header{HeaderCSRF: {""}}, away, false},
		{302, http.Header{HeaderCSRF: {"token"}}, []string{"/a", "https://evil.test/"}, false},
	} {
		res := &http.Response{StatusCode: c.status, Header: http.Header{"Location": c.at}}
		holdBack(res, c.sent, home)
		if (res.Header["Location"] != nil) != c.stays || (res.Header.Get("Vary") == HeaderCSRF) != (c.status/100 == 3) {
			t.Errorf("%+v: %v", c, res.Header)
		}
	}
}

// FuzzLocationStaysHome holds that what is not held back leads to the origin itself, as browsers read it.
func FuzzLocationStaysHome(f *testing.F) {
	for _, seed := range []string{"/a", "//evil", `/\evil`, "https:evil", "https:///evil", "a:b", "///evil", "/\t/evil", "https://icom.test/a", `\evil`} {
		f.Add(seed)
	}
	from, err := url.Parse(home + "/a/b")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, location string) {
		if leaves(location, home) {
			return
		}
		read := strings.Trim(strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(location), "\x00 ")
		if strings.HasPrefix(read, "//") {
			t.Fatalf("%q begins with a host", location)
		}
		to, err := from.Parse(read)
		if err != nil || to.Scheme != "https" || !strings.EqualFold(strings.TrimSuffix(to.Host, ":443"), "icom.test") || to.Opaque != "" {
			t.Errorf("%q leads to %v: %v", location, to, err)
		}
	})
}
