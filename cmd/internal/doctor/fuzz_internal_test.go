package doctor

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzWhatOthersSay: a JWK set of a provider breaks nothing and has no more keys than it names, and a row of its words is
// one line of bounded length.
func FuzzWhatOthersSay(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"RSA","n":"AQAB","e":"AQAB","use":"sig"}]}`))
	f.Add([]byte("a\nb\x1b[31m"))
	f.Fuzz(func(t *testing.T, said []byte) {
		if n := signing(said); n > strings.Count(string(said), "{") {
			t.Errorf("%d keys", n)
		}
		var list []Row
		rows{list: &list}.ok("%s", said)
		if seen := list[0].Seen; strings.ContainsAny(seen, "\n\r") || len(seen) > longest+8 || utf8.Valid(said) && !utf8.ValidString(seen) {
			t.Errorf("%q", seen)
		}
	})
}
