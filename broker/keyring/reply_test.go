package keyring_test

import (
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
)

// TestRepliesAreNoTokens: a reply is verified with the same keys, and has no exp of its own; one that it
// quotes is another's.
func TestRepliesAreNoTokens(t *testing.T) {
	r := open(t, keyring.Config{})
	quoted := map[string]any{"iat": time.Now().Unix(), "token_introspection": map[string]any{"exp": time.Now().Add(time.Hour).Unix()}}
	value, err := r.SignReply(t.Context(), "token-introspection+jwt", quoted)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.Parse(string(value.Reveal()), func(tok *jwt.Token) (any, error) {
		key, _, _ := r.Lookup(tok.Header["kid"].(string))
		return key, nil
	}, jwt.WithValidMethods([]string{keyring.ES256}))
	if err != nil || parsed.Header["typ"] != "token-introspection+jwt" {
		t.Errorf("%v, %v", parsed, err)
	}
	for what, claims := range map[string]any{
		"an exp": map[string]any{"exp": time.Now().Add(time.Minute).Unix()}, "an exp as text": map[string]any{"exp": "1"}, "no object": "text", "nothing": nil, "not JSON": func() {},
	} {
		if _, err := r.SignReply(t.Context(), "x", claims); !errors.Is(err, fault.Internal) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
