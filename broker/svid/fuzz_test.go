package svid

import (
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// FuzzBundleSurvivesARoundTrip feeds the reader of bundle files: it never panics, never accepts a bundle
// without an authority, and what it accepts is the same after being written and read again.
func FuzzBundleSurvivesARoundTrip(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	td := spiffeid.RequireTrustDomainFromString("a.test")
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := parseBundle(td, data)
		if err != nil {
			return
		}
		for _, key := range bundle.JWTAuthorities() {
			if jwk := (jose.JSONWebKey{Key: key}); !jwk.IsPublic() {
				t.Fatalf("accepted a %T", key)
			}
		}
		if bundle.TrustDomain() != td || bundle.Empty() {
			t.Fatalf("accepted a bundle of %s, empty=%t", bundle.TrustDomain(), bundle.Empty())
		}
		keys, err := PlainJWKS(bundle.JWTBundle())
		if err != nil {
			t.Fatalf("keys that cannot be written: %v", err)
		}
		plain := len(bundle.JWTAuthorities())
		if plain > 0 {
			if back, err := spiffebundle.Parse(td, keys); err != nil || !back.Empty() {
				t.Fatalf("a plain set names a use: %s (%v)", keys, err)
			}
		}
		written, err := bundle.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseBundle(td, written)
		if err != nil || !again.Equal(bundle) {
			t.Fatalf("read again: %v\n%s", err, written)
		}
	})
}

var seeds = []string{
	`{"keys":[]}`,
	`{"keys":[{"use":"jwt-svid","kty":"EC","kid":"k","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`,
	`{"keys":[{"use":"jwt-svid","kty":"oct","kid":"k","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}]}`,
	`{"keys":[{"use":"jwt-svid","kty":"EC","kid":"k","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`,
	"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
	"\ufeff{",
}
