package session

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/intercom-broker/intercom/broker/secret"
)

// A sealed value, format 1. The head is in the clear, so that the store can compare versions, and all of
// it is associated data, together with the hash of the session's id:
//
//	offset  bytes
//	     0      1  format: 1
//	     1      1  kind: 's' session, 'e' ended, 'a' activity
//	     2      8  version, big-endian
//	    10      8  key id
//	    18     24  nonce
//	    42      n  XChaCha20-Poly1305, the 16 bytes of the tag last
//
// A value that is copied to another session's key, or to another kind's, does not open there. What cannot
// be seen is an old value put back in its own place: whoever writes to the store can do that until the
// session's end, which is inside.
const (
	format     = 1
	atVersion  = 2
	atKeyID    = atVersion + 8
	keyIDBytes = 8
	atNonce    = atKeyID + keyIDBytes
	sealedHead = atNonce + chacha20poly1305.NonceSizeX
	keyBytes   = 32

	kindSession  = 's'
	kindEnded    = 'e'
	kindActivity = 'a'
)

const label = "intercom session 1"

// Ring seals values with its newest key and opens those of all its keys, so that a key is replaced without
// a logout: put the new one first, and take the old one out when the longest session is over.
type Ring struct {
	keys atomic.Pointer[[]sealingKey]
}

type sealingKey struct {
	id  [keyIDBytes]byte
	key secret.Value
}

// NewRing returns a ring of keys of 32 bytes, the newest first.
func NewRing(keys ...secret.Value) (*Ring, error) {
	r := new(Ring)
	return r, r.Set(keys...)
}

// Set puts other keys in the place of all, or changes nothing and says why.
func (r *Ring) Set(keys ...secret.Value) error {
	if len(keys) == 0 {
		return errors.New("session: a ring needs a key")
	}
	ready := make([]sealingKey, 0, len(keys))
	for i, k := range keys {
		if n := len(k.Reveal()); n != keyBytes {
			return fmt.Errorf("session: key %d has %d bytes, want %d", i+1, n, keyBytes)
		}
		// The key is 32 random bytes, so HKDF (RFC 5869) needs no salt; the infos differ, so that the id,
		// which everybody may read, tells nothing of the key.
		id, err := hkdf.Key(sha256.New, k.Reveal(), nil, label+": id", keyIDBytes)
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		key, err := hkdf.Key(sha256.New, k.Reveal(), nil, label+": key", chacha20poly1305.KeySize)
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		ready = append(ready, sealingKey{[keyIDBytes]byte(id), secret.New(key)})
	}
	r.keys.Store(&ready)
	return nil
}

// Seal returns s as it is stored.
func (r *Ring) Seal(s Session) ([]byte, error) {
	plain, err := encode(s)
	if err != nil {
		return nil, err
	}
	return r.seal(s.Hash, kindSession, s.Version, plain)
}

// SealEnded returns a tombstone as it is stored in the place of the session h.
func (r *Ring) SealEnded(h Hash, e Ended) ([]byte, error) {
	plain, err := encodeEnded(e)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return r.seal(h, kindEnded, 0, plain)
}

// SealTime returns a session's last activity as it is stored.
func (r *Ring) SealTime(h Hash, t time.Time) ([]byte, error) {
	return r.seal(h, kindActivity, 0, binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli())))
}

// Open returns the session that was sealed for h, or an [*Ended] when it is a tombstone. What does not
// open is [NoSession], with the cause for the log.
func (r *Ring) Open(h Hash, sealed []byte) (Session, error) {
	plain, err := r.open(h, sealed)
	if err != nil {
		return Session{}, NoSession(err)
	}
	switch sealed[1] {
	case kindSession:
		s, err := decode(h, binary.BigEndian.Uint64(sealed[atVersion:]), plain)
		if err != nil {
			return Session{}, NoSession(err)
		}
		return s, nil
	case kindEnded:
		e, err := decodeEnded(plain)
		if err != nil {
			return Session{}, NoSession(err)
		}
		return Session{}, e
	}
	return Session{}, NoSession(Error("session: a sealed value of another kind"))
}

// OpenTime returns the activity that was sealed for h.
func (r *Ring) OpenTime(h Hash, sealed []byte) (time.Time, error) {
	plain, err := r.open(h, sealed)
	if err != nil {
		return time.Time{}, err
	}
	if sealed[1] != kindActivity || len(plain) != 8 {
		return time.Time{}, Error("session: a sealed value of another kind")
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(plain))), nil
}

// SealedBy returns which key of the ring has sealed a session, 0 the newest, and -1 where it is none of them. It opens
// nothing. ok says that it is a sealed session at all, and no tombstone.
func (r *Ring) SealedBy(sealed []byte) (key int, ok bool) {
	if len(sealed) < sealedHead || sealed[0] != format || sealed[1] != kindSession {
		return -1, false
	}
	return slices.IndexFunc(*r.keys.Load(), func(k sealingKey) bool { return k.id == [keyIDBytes]byte(sealed[atKeyID:atNonce]) }), true
}

// Head is what a sealed session of that version starts with, and nothing else does.
func Head(version uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{format, kindSession}, version)
}

// EndedHead is what a sealed tombstone starts with, and nothing else does.
func EndedHead() []byte { return []byte{format, kindEnded} }

func (r *Ring) seal(h Hash, kind byte, version uint64, plain []byte) ([]byte, error) {
	k := (*r.keys.Load())[0]
	aead, err := chacha20poly1305.NewX(k.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	head := make([]byte, sealedHead, sealedHead+len(plain)+chacha20poly1305.Overhead)
	head[0], head[1] = format, kind
	binary.BigEndian.PutUint64(head[atVersion:], version)
	copy(head[atKeyID:], k.id[:])
	_, _ = rand.Read(head[atNonce:]) // never fails; 24 random bytes do not repeat
	return aead.Seal(head, head[atNonce:], plain, associated(h, head)), nil
}

func (r *Ring) open(h Hash, sealed []byte) ([]byte, error) {
	if len(sealed) < sealedHead || sealed[0] != format {
		return nil, Error("session: not a sealed value")
	}
	head := sealed[:sealedHead]
	for _, k := range *r.keys.Load() {
		if k.id != [keyIDBytes]byte(head[atKeyID:atNonce]) {
			continue
		}
		aead, err := chacha20poly1305.NewX(k.key.Reveal())
		if err != nil {
			return nil, fmt.Errorf("session: %w", err)
		}
		plain, err := aead.Open(nil, head[atNonce:], sealed[sealedHead:], associated(h, head))
		if err != nil {
			return nil, Error("session: a sealed value was changed, or stands in another's place")
		}
		return plain, nil
	}
	return nil, Error("session: a value is sealed with a key that is not in the ring")
}

// associated is what a value is bound to. All its parts have fixed lengths.
func associated(h Hash, head []byte) []byte {
	return append(append([]byte(label), h[:]...), head...)
}
