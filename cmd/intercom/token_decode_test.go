package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzDecode holds that what anybody may have written is taken apart or refused, that it does not speak to
// the terminal, and that the signature is never shown.
func FuzzDecode(f *testing.F) {
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, claims := range []string{
		`{}`, `null`, `[]`, `{"exp":1}`, `{"exp":1e400}`, `{"exp":"x"}`, `{"act":{"act":{"act":[]}}}`, `{"cnf":{"x5t#S256":7}}`,
		`{"sub":"a\u001b[31mb"}`, `{"a":1}{"b":2}`, `{"aud":["x","y"],"exp":-1}`,
	} {
		f.Add(b64(`{"alg":"none"}`) + "." + b64(claims) + ".")
	}
	f.Add("a.b.c.d.e")
	f.Add("....")
	f.Fuzz(func(t *testing.T, raw string) {
		const signature = "U0lHTkFUVVJFLVRIQVQtTVVTVC1OT1QtU0hPVw"
		if i := strings.LastIndexByte(raw, '.'); i >= 0 {
			raw = raw[:i+1] + signature
		}
		d, err := decodeToken(raw)
		if err != nil {
			if strings.Contains(err.Error(), signature) {
				t.Errorf("%v", err)
			}
			return
		}
		var out bytes.Buffer
		d.print(&out, time.Unix(1700000000, 0))
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }); i >= 0 {
			t.Errorf("it speaks to the terminal: %q", out.String()[i:])
		}
		if err := json.NewEncoder(&out).Encode(d.document(false, time.Unix(1700000000, 0))); err != nil {
			t.Error(err)
		}
		if strings.Contains(out.String(), signature) {
			t.Error("the signature is shown")
		}
	})
}
