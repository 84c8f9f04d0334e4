package proxies_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

func readAnswer(t *testing.T, from io.Reader) (status int, body string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(from), nil)
	if err != nil { // closed without a word, which is a refusal too
		return http.StatusBadRequest, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// hostilePaths have more than one reading, or look like it.
var hostilePaths = []string{ //nolint:gochecknoglobals // a table
	"/orders/1", "/orders/a%20b", "/orders/%61", "/orders/a:b", "/orders/a%3Ab", "/orders/1?x=/../secret", "/orders/1?x=a#b",
	"/orders/../orders/secret/1", "/orders/./1", "/orders//1", "//orders/1", "/orders/secret/../1", "/orders/1/../secret/1",
	"/orders/%2e%2e/orders/secret/1", "/orders/%2E%2E/x", "/orders/.%2e/x", "/orders/..%2fsecret/1", "/orders/a%2fb", "/orders%2fsecret/1", "/orders/secret%2f1", "/orders/x%2f..%2fsecret%2f1",
	"/orders/..;/secret/1", "/orders;x=1/1", "/orders/secret;x/1", "/orders/%3b/1", `/orders\secret\1`, "/orders/%5csecret/1", "/orders/..%5csecret/1",
	"/orders/%00", "/orders/1%0d%0ax:1", "/orders/%zz", "/orders/%", "/orders/%252e%252e/secret/1", "/orders/secr%65t/1", "/ORDERS/1", "/orders/sec\u0072et/1",
	"/bff/../orders/1", "/bff/%2e%2e/orders/1", "/orders/1/%2e%2e/%2e%2e/bff/authz", "/../orders/1", "/..%2forders/1", "/%2e/orders/1", "/orders/\u00e9", "/orders/a|b", "/orders/a\"b",
	"https://evil.test/orders/1", "*",
}

// testHostilePaths: a proxy may refuse more, and lets nothing by that is refused without it. What gets to the service is
// what was judged.
func testHostilePaths(t *testing.T, alice *person) {
	w, cookies := alice.w, alice.cookies()
	ask := func(address, path string) (int, []string) {
		w.orders.seen()
		status, _ := w.raw(t, address, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n\r\n",
			path, strings.TrimPrefix(w.Origin(), "https://"), cookies))
		return status, w.orders.seen()
	}
	passed := 0
	for _, path := range hostilePaths {
		direct, seen := ask(w.Gateways[0].Front, path)
		status, got := ask(alice.at, path)
		if passed += len(got); !slices.Equal(got, seen) && len(got) > 0 {
			t.Errorf("%q: the service gets %q, and without the proxy %q", path, got, seen)
		}
		if status < 400 && direct >= 400 {
			t.Errorf("%q: %d, and %d without the proxy", path, status, direct)
		}
		if slices.ContainsFunc(got, secretly) {
			t.Errorf("%q: %q gets by the policy", path, got)
		}
	}
	if passed < 6 {
		t.Errorf("%d requests passed: nothing was compared", passed)
	}
}

// secretly reports whether a service that resolves dots and escapes would take uri for what is denied.
func secretly(uri string) bool {
	u, err := url.Parse(uri)
	return err != nil || strings.HasPrefix(path.Clean(u.Path), "/orders/secret")
}
