package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/intercom-broker/intercom/broker/secret"
)

const (
	idBytes = 32
	idChars = 43 // base64url without padding
	// maxCookies bounds what is looked at: RFC 6265, section 6.1, asks for 4 KiB a cookie, and ours has 43
	// characters.
	maxCookies = 8 << 10
)

// ID is a session's name as the browser knows it: 256 random bits. Whoever holds it is logged in, so it
// does not print, and no store ever sees it. The zero ID is no session's.
type ID struct{ bytes secret.Value }

// NewID returns a new random ID. There is no other way to one that was not given out: a value that a
// browser brings along is looked up, never adopted.
func NewID() ID {
	b := make([]byte, idBytes)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return ID{secret.New(b)}
}

// ParseID reads a cookie's value. Each ID has exactly one form.
func ParseID(cookie string) (ID, bool) {
	b, ok := parse32(cookie)
	return ID{secret.New(b)}, ok
}

// FindID returns the ID in a request's cookie of that name. Without one, with several, with one that is
// malformed, or in a header that is far too long there is none: all of this is "not logged in", and none
// of it is an error.
func FindID(r *http.Request, cookie string) (ID, bool) {
	if Crowded(r) {
		return ID{}, false
	}
	found := r.CookiesNamed(cookie)
	if len(found) != 1 {
		return ID{}, false
	}
	return ParseID(found[0].Value)
}

// Crowded reports whether a request's cookies are so many that none is looked at. Siblings of our origins can set some for all
// of them, and nobody logs in then.
func Crowded(r *http.Request) bool {
	size := 0
	for _, line := range r.Header.Values("Cookie") {
		size += len(line)
	}
	return size > maxCookies
}

// Cookie returns the form that the browser keeps.
func (id ID) Cookie() string { return base64.RawURLEncoding.EncodeToString(id.bytes.Reveal()) }

// IsZero reports whether id is no session's.
func (id ID) IsZero() bool { return id.bytes.IsZero() }

// Hash returns the name by which stores know the session. The ID has 256 random bits, so a plain hash
// cannot be turned back by trying.
func (id ID) Hash() Hash { return sha256.Sum256(id.bytes.Reveal()) }

// Hash is a session's name in the store and in memory. It opens nothing, but it is the store's key: what
// leaves the gateway is an HMAC of the provider's sid, never this.
type Hash [sha256.Size]byte

// ParseHash reads what [Hash.String] wrote.
func ParseHash(s string) (h Hash, ok bool) {
	b, ok := parse32(s)
	if ok {
		h = Hash(b)
	}
	return h, ok
}

// String returns h as it stands in keys.
func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

func parse32(s string) ([]byte, bool) {
	if len(s) != idChars {
		return nil, false
	}
	// Strict, so that the two bits that the last character has to spare are zero.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != idBytes { // the decoder skips line breaks, which are in the length of s
		return nil, false
	}
	return b, true
}
