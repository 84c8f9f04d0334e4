package hygiene_test

import (
	"bufio"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

func TestCheckMethod(t *testing.T) {
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH", "QUERY"} {
		if err := hygiene.CheckMethod(m); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
	for _, m := range []string{"", "get", "Get", "TRACE", "TRACK", "CONNECT", "DEBUG", "PRI", "GET ", "GE/T", "G*", "GET1", strings.Repeat("A", 33)} {
		if err := hygiene.CheckMethod(m); !errors.Is(err, hygiene.ErrMethod) {
			t.Errorf("%q: %v", m, err)
		}
	}
}

func request(t *testing.T, raw ...string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(raw, "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket"
	version = "Sec-WebSocket-Version: 13"
	key     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)

func TestCheckRequest(t *testing.T) {
	const get = "GET /a%41 HTTP/1.1\r\nHost: h"
	tests := map[string]struct {
		head []string
		want error
	}{
		"plain":                       {[]string{get}, nil},
		"query":                       {[]string{"GET /aA?x=1;y=%zz HTTP/1.1\r\nHost: h"}, nil},
		"websocket":                   {[]string{get, upgrade, version, key}, nil},
		"an offer without Connection": {[]string{get, "Upgrade: h2c"}, nil},
		"method":                      {[]string{"TRACE / HTTP/1.1\r\nHost: h"}, hygiene.ErrMethod},
		"star":                        {[]string{"OPTIONS * HTTP/1.1\r\nHost: h"}, hygiene.ErrFormTarget},
		"path":                        {[]string{"GET /a/../b HTTP/1.1\r\nHost: h"}, hygiene.ErrPathDots},
		"opaque":                      {[]string{"GET x:y HTTP/1.1\r\nHost: h"}, hygiene.ErrFormTarget},
		"two cookies":                 {[]string{get, "Cookie: a=b", "Cookie: c=d"}, hygiene.ErrDuplicate},
		"two authorizations":          {[]string{get, "Authorization: a", "authorization: b"}, hygiene.ErrDuplicate},
		"h2c":                         {[]string{get, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}, hygiene.ErrUpgrade},
		"h2c beside":                  {[]string{get, "Connection: Upgrade", "Upgrade: websocket, h2c", version, key}, hygiene.ErrUpgrade},
		"h2c in a line":               {[]string{get, "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c", version, key}, hygiene.ErrUpgrade},
		"no key":                      {[]string{get, upgrade, version}, hygiene.ErrWebSocket},
		"short key":                   {[]string{get, upgrade, version, "Sec-WebSocket-Key: AAAA"}, hygiene.ErrWebSocket},
		"two keys":                    {[]string{get, upgrade, version, key, key}, hygiene.ErrWebSocket},
		"no version":                  {[]string{get, upgrade, key}, hygiene.ErrWebSocket},
		"version 8":                   {[]string{get, upgrade, key, "Sec-WebSocket-Version: 8"}, hygiene.ErrWebSocket},
		"posted":                      {[]string{"POST / HTTP/1.1\r\nHost: h", upgrade, version, key}, hygiene.ErrWebSocket},
		"with a body":                 {[]string{get, upgrade, version, key, "Content-Length: 1"}, hygiene.ErrWebSocket},
		"http/1.0":                    {[]string{"GET / HTTP/1.0", upgrade, version, key}, hygiene.ErrWebSocket},
	}
	for name, test := range tests {
		path, err := hygiene.CheckRequest(request(t, test.head...))
		if err != test.want || (err == nil) != (path == "/aA") {
			t.Errorf("%s: got %q, %v; want %v", name, path, err, test.want)
		}
	}
}

// TestCheckRequestOnQueries sets the query as net/http leaves it: HTTP/2 lets a space through in :path, and
// an HTTP/1.1 request line that it is written into would end there.
func TestCheckRequestOnQueries(t *testing.T) {
	for _, query := range []string{"", "a=b&c=d;e", "%zz&%", "a=%20%00%C3%A9", "q=[x]{y}|z^`\"<>\\'", "a?b/c", "~!$()*+,:@-._"} {
		if path, err := checkQuery(query); err != nil || path != "/x" {
			t.Errorf("%q: got %q, %v", query, path, err)
		}
	}
	for _, query := range []string{"a HTTP/1.0 b", " ", "a#b", "a\tb", "a\r\nX: y", "\x00", "\x1f", "\x7f", "\x80", "é", "\xff"} {
		if path, err := checkQuery(query); err != hygiene.ErrQuery || path != "" {
			t.Errorf("%q: got %q, %v", query, path, err)
		}
	}
}

func checkQuery(query string) (string, error) {
	return hygiene.CheckRequest(&http.Request{Method: "GET", URL: &url.URL{Path: "/x", RawQuery: query}})
}
