package session

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/secret"
)

// FuzzDecode: what is inside a seal was written by us, or by an older or newer version of us. Whatever it
// is, it decodes into a session that has an owner and an end, and encodes into the same again; or not at all.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"iss":"i","sub":"s"}`, `{"iss":"i","sub":"s","absolute":"2026-01-01T00:00:00Z"}`,
		`{"iss":"i","sub":"s","absolute":"2026-01-01T00:00:00Z","access":"AAA=","claims":{"a":[1]},"idle":-5,"generation":18446744073709551615}`,
		`{"reason":"logout","at":"2026-01-01T00:00:00Z","hint":"AAA="}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := decodeEnded(data); err == nil && e.Code() == "" {
			t.Error("an end without a code")
		}
		s, err := decode(Hash{1}, 7, data)
		if err != nil {
			return
		}
		if s.Issuer == "" || s.Subject == "" || s.End().IsZero() && s.ProviderEnd.IsZero() {
			t.Errorf("a session of nobody, or for ever: %+v", s)
		}
		again, err := encode(s)
		if err != nil {
			return // too large
		}
		back, err := decode(Hash{1}, 7, again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back, cmp.Comparer(secret.Value.Equal), cmp.Comparer(sameJSON), cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Error(diff)
		}
	})
}

// sameJSON compares claims as what they mean: white space goes when they are encoded.
func sameJSON(a, b map[string]json.RawMessage) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && (len(a) == 0 && len(b) == 0 || string(x) == string(y))
}
