package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/secret"
)

// voucher tells what another replica has written into the store from what somebody else has, by the keys that seal
// sessions: who may write to Redis must not be able to add a key by which the provider would know him as us. The
// zero voucher believes nothing.
type voucher struct {
	keys atomic.Pointer[[]secret.Value]
}

// set puts other sealing keys in force, the newest first.
func (v *voucher) set(keys []secret.Value) { v.keys.Store(&keys) }

func mac(key secret.Value, text string) string {
	h := hmac.New(sha256.New, key.Reveal())
	_, _ = h.Write([]byte("intercom client key\x00" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// sign returns text with what proves that a replica has written it.
func (v *voucher) sign(text string) string {
	keys := v.keys.Load()
	if keys == nil || len(*keys) == 0 {
		return "." + text
	}
	return mac((*keys)[0], text) + "." + text
}

// open returns the text that a replica has signed, with any key of the ring.
func (v *voucher) open(signed string) (string, bool) {
	proof, text, _ := strings.Cut(signed, ".")
	keys := v.keys.Load()
	if keys == nil {
		return "", false
	}
	for _, key := range *keys {
		if hmac.Equal([]byte(proof), []byte(mac(key, text))) {
			return text, true
		}
	}
	return "", false
}
