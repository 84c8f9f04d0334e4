package hygiene_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

func TestCleanPath(t *testing.T) {
	for escaped, want := range map[string]string{
		"": "/", "/": "/", "/a": "/a", "/a/b/": "/a/b/", "/a.b/..c/...": "/a.b/..c/...",
		"/%41%2d%2E%7e": "/A-.~", "/a%20b": "/a%20b", "/%c3%a9": "/%C3%A9", "/é": "/%C3%A9", "/100%25": "/100%25",
		"/%252e%252e/x": "/%252e%252e/x", "/a:b@c,d=e!f$g&h'i(j)k*l+m": "/a:b@c,d=e!f$g&h'i(j)k*l+m",
		"/v1/docs%3Acommit": "/v1/docs:commit", "/%3a%40%2B%2c%21%24%26%27%28%29%2A%3D": "/:@+,!$&'()*=", "/a%3fb%23c": "/a%3Fb%23c", "/a%3Fb%23c": "/a%3Fb%23c", "/a b": "/a%20b", "/[x]": "/%5Bx%5D", "/a?b": "/a%3Fb",
	} {
		if got, err := hygiene.CleanPath(escaped); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", escaped, got, err, want)
		}
	}
	for escaped, want := range map[string]error{
		"a": hygiene.ErrPathForm, "*": hygiene.ErrPathForm, "http://h/": hygiene.ErrPathForm, "%2fa": hygiene.ErrPathForm,
		"//": hygiene.ErrPathEmpty, "/a//b": hygiene.ErrPathEmpty, "//a": hygiene.ErrPathEmpty, "/a//": hygiene.ErrPathEmpty,
		"/.": hygiene.ErrPathDots, "/..": hygiene.ErrPathDots, "/a/../b": hygiene.ErrPathDots, "/a/./b": hygiene.ErrPathDots, "/a/..": hygiene.ErrPathDots,
		"/%2e%2e/a": hygiene.ErrPathDots, "/.%2E/a": hygiene.ErrPathDots, "/a/%2e": hygiene.ErrPathDots,
		"/a\\b": hygiene.ErrPathChar, "/a;b": hygiene.ErrPathChar, "/..;/a": hygiene.ErrPathChar, "/a\x00": hygiene.ErrPathChar, "/a\nb": hygiene.ErrPathChar, "/\x7f": hygiene.ErrPathChar,
		"/a%2fb": hygiene.ErrPathEncoded, "/..%2Fa": hygiene.ErrPathEncoded, "/a%5cb": hygiene.ErrPathEncoded, "/a%00": hygiene.ErrPathEncoded,
		"/a%3bb": hygiene.ErrPathEncoded, "/%0d%0aX": hygiene.ErrPathEncoded, "/%7F": hygiene.ErrPathEncoded,
		"/%": hygiene.ErrPathEscaping, "/%4": hygiene.ErrPathEscaping, "/%zz": hygiene.ErrPathEscaping, "/%u0041": hygiene.ErrPathEscaping,
	} {
		if got, err := hygiene.CleanPath(escaped); err != want || got != "" {
			t.Errorf("%q: got %q, %v; want %v", escaped, got, err, want)
		}
	}
}

// TestCleanPathOnEveryByte sweeps all bytes, as they are and encoded.
func TestCleanPathOnEveryByte(t *testing.T) {
	for c := range 256 {
		for _, p := range []string{"/x" + string([]byte{byte(c)}) + "y", "/x" + pctByte(byte(c)) + "y"} {
			checkCleanPath(t, p)
		}
	}
}

func pctByte(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{'%', digits[c>>4], digits[c&15]})
}

// FuzzCleanPathIsCanonical holds that what passes passes again unchanged, is what net/url writes back, names
// the same thing before and after anybody resolves it, and is written in one way only: however else the same
// bytes are escaped, they are refused or come out the same.
func FuzzCleanPathIsCanonical(f *testing.F) {
	for _, seed := range []string{"/", "/a/b", "/%2e%2e/", "/a%2fb", "/a;b", "//", "/%41/%c3%a9", "/a\\b", "/%00", "/..;/", "/a/.", "/%25%32%66", "/v1/docs%3Acommit", "/%40a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p string) { checkCleanPath(t, p) })
}

func checkCleanPath(t *testing.T, p string) {
	t.Helper()
	clean, err := hygiene.CleanPath(p)
	if err != nil {
		return
	}
	if again, err := hygiene.CleanPath(clean); err != nil || again != clean {
		t.Errorf("%q: %q becomes %q, %v", p, clean, again, err)
	}
	for _, twin := range twins(mustUnescape(t, p)) {
		if got, err := hygiene.CleanPath(twin); err == nil && got != clean {
			t.Errorf("%q becomes %q, and its twin %q becomes %q", p, clean, twin, got)
		}
	}
	u, err := url.ParseRequestURI(clean)
	if err != nil || u.RawQuery != "" {
		t.Fatalf("%q: %q is no path: %v", p, clean, err)
	}
	u.Path, u.RawPath = mustUnescape(t, clean), clean
	if got := u.EscapedPath(); got != clean {
		t.Errorf("%q: net/url writes %q for %q", p, got, clean)
	}
	if strings.ContainsAny(u.Path, "\\;\x00\r\n") || strings.Count(u.Path, "/") != strings.Count(clean, "/") {
		t.Errorf("%q: %q hides something: %q", p, clean, u.Path)
	}
	if resolved := path.Clean(u.Path); resolved != u.Path && resolved+"/" != u.Path {
		t.Errorf("%q: %q resolves to %q", p, u.Path, resolved)
	}
}

// twins returns other spellings of the path of these bytes: all escaped but slashes, and all but slashes and
// percent signs as they are.
func twins(plain string) []string {
	var escaped strings.Builder
	for i := range len(plain) {
		if plain[i] == '/' {
			escaped.WriteByte('/')
		} else {
			escaped.WriteString(pctByte(plain[i]))
		}
	}
	return []string{escaped.String(), strings.ReplaceAll(plain, "%", "%25")}
}

func mustUnescape(t *testing.T, s string) string {
	t.Helper()
	plain, err := url.PathUnescape(s)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
