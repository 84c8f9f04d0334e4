package dpop_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/secret"
)

func newKey(t testing.TB) dpop.Key {
	t.Helper()
	k, err := dpop.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var use = dpop.Use{Method: "GET", URL: "https://api.test/orders/1?x=1#y", Token: "t", Nonce: "n", Now: time.Unix(1_800_000_000, 0)}

// TestProof: it is good for what it was made for, and for nothing else.
func TestProof(t *testing.T) {
	k := newKey(t)
	proof, err := k.Proof(use)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := dpop.Check(proof, use); err != nil || got.Thumbprint != k.Thumbprint() || got.JTI == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(*dpop.Use){
		"another method": func(u *dpop.Use) { u.Method = "POST" },
		"another path":   func(u *dpop.Use) { u.URL = "https://api.test/orders/2" },
		"another host":   func(u *dpop.Use) { u.URL = "https://evil.test/orders/1" },
		"another token":  func(u *dpop.Use) { u.Token = "u" },
		"too old":        func(u *dpop.Use) { u.Now = u.Now.Add(61 * time.Second) },
		"too early":      func(u *dpop.Use) { u.Now = u.Now.Add(-6 * time.Second) },
	} {
		other := use
		change(&other)
		if _, err := dpop.Check(proof, other); !errors.Is(err, dpop.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fresh, query := use, use
	fresh.Nonce, query.URL = "m", "https://api.test/orders/1?y=2"
	if _, err := dpop.Check(proof, fresh); !errors.Is(err, dpop.ErrNonce) {
		t.Errorf("another nonce: %v", err)
	}
	if _, err := dpop.Check(proof, query); err != nil {
		t.Errorf("another query: %v", err)
	}
	if again, _ := k.Proof(use); again == proof {
		t.Error("two proofs are alike")
	}
}

// TestKeyIsKept: what was stored is the same key, and what is none is refused.
func TestKeyIsKept(t *testing.T) {
	k := newKey(t)
	stored, err := k.Secret()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := dpop.ParseKey(stored); err != nil || back.Thumbprint() != k.Thumbprint() {
		t.Errorf("%v", err)
	}
	if none, err := dpop.ParseKey(secret.Value{}); err != nil || !none.IsZero() {
		t.Errorf("nothing: %v", err)
	}
	if _, err := dpop.ParseKey(secret.FromString("x")); err == nil {
		t.Error("anything is a key")
	}
}

// FuzzCheck: no proof is good that was changed, and none ends the process.
func FuzzCheck(f *testing.F) {
	proof, err := newKey(f).Proof(use)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proof)
	f.Add("")
	f.Add(strings.Replace(proof, ".", "..", 1))
	f.Add("eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUiLCJqd2siOnt9fQ.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := dpop.Check(text, use); err == nil && text != proof {
			head, _, _ := strings.Cut(text, ".")
			if kept, _, _ := strings.Cut(proof, "."); head == kept && text[:strings.LastIndex(text, ".")] != proof[:strings.LastIndex(proof, ".")] {
				t.Errorf("%q is good", text)
			}
		}
	})
}
