package keyring

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzExpiryIsTheOneThatVerifiersRead: whatever the claims are, the exp that is held against the bound is
// the one that a JSON decoder finds.
func FuzzExpiryIsTheOneThatVerifiersRead(f *testing.F) {
	for _, seed := range []string{
		`{"exp":1}`, `{"exp":1.5e3,"a":2}`, `{"a":"exp","exp":7}`, `{"a":"\"exp\":9","exp":7}`, `{"act":{"exp":9},"exp":7}`, `{"act":{"exp":9}}`,
		`{"a":[{"exp":9}],"exp":7}`, `{"a":"\\","exp":7}`, `{"a":"\\\"","exp":7}`, `{"exp":"7"}`, `{"exp":null}`, `{"exp":{"x":1}}`, `{"exp":[1]}`,
		`{"exp":true}`, `{}`, `null`, `[{"exp":1}]`, `"exp"`, `{"x exp":1}`, `{"a\"exp":1,"exp":2}`, `{"exp\u0000":1}`, ` { "exp" : -0.5 } `,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var claims any
		if json.Unmarshal([]byte(text), &claims) != nil {
			return
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		object, _ := claims.(map[string]any)
		want, wanted := object["exp"].(float64)
		got, err := expiry(payload)
		if got != want || (err == nil) != wanted {
			t.Errorf("%s: %v, %v; want %v, %v", payload, got, err, want, wanted)
		}
	})
}

// A second exp, which only a type with an encoder of its own can write, is refused: verifiers differ in
// which of the two they read (RFC 8259, section 4).
func TestTwoExpiriesAreNone(t *testing.T) {
	for _, payload := range []string{`{"exp":1,"exp":2}`, `{"exp":2,"exp":"x"}`, `{"exp":"x","exp":2}`} {
		if _, err := expiry([]byte(payload)); err == nil {
			t.Errorf("%s passes", payload)
		}
	}
	if exp, err := expiry([]byte(`{"exp":1,"a":"` + strings.Repeat("x", 1<<10) + `"}`)); err != nil || exp != 1 {
		t.Errorf("one: %v, %v", exp, err)
	}
}
