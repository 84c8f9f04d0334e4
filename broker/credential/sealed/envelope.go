package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// header is the clear part of the sealed file, format 1, and all of it is associated data:
//
//	offset  bytes
//	     0     16  "intercom-sealed\n"
//	    16      1  format: 1
//	    17     16  key id
//	    33     24  nonce, new with every save
//	    57      4  how many bytes follow, big-endian
//	    61      n  XChaCha20-Poly1305 of the document, the 16 bytes of the tag last
//
// The document is JSON, see document.
type header [headerBytes]byte

const (
	magic       = "intercom-sealed\n"
	format      = 1
	keyIDBytes  = 16
	atFormat    = len(magic)
	atKeyID     = atFormat + 1
	atNonce     = atKeyID + keyIDBytes
	atLength    = atNonce + chacha20poly1305.NonceSizeX
	headerBytes = atLength + 4

	// maxFile bounds what is read and written: some 200 of the largest credentials, or 100,000 small ones.
	maxFile = 64 << 20
)

func (h *header) keyID() [keyIDBytes]byte { return [keyIDBytes]byte(h[atKeyID:atNonce]) }
func (h *header) nonce() []byte           { return h[atNonce:atLength] }
func (h *header) length() uint32          { return binary.BigEndian.Uint32(h[atLength:]) }

// sealer is a key made ready for use.
//
// Neither half of what is derived here tells anything about the other or about the key: the key is 32
// random bytes, so that HKDF (RFC 5869) needs no salt, and the two infos differ.
//
// ChaCha20-Poly1305 does not commit to its key: whoever knows two keys can make one file that opens under
// both. Nobody gains by that here, since a reader tries the one key that it was given and not a list,
// and the key id, which is checked first and authenticated with the rest, commits to it: such a file would
// need two keys whose ids collide, 2^64 tries.
type sealer struct {
	key secret.Value // of the file; never the key that the operator holds
	id  [keyIDBytes]byte
}

func newSealer(key secret.Value) (sealer, error) {
	if n := len(key.Reveal()); n != keyBytes {
		return sealer{}, fmt.Errorf("sealed: the key has %d bytes, want %d", n, keyBytes)
	}
	file, err := hkdf.Key(sha256.New, key.Reveal(), nil, "intercom sealed file 1: key", chacha20poly1305.KeySize)
	if err != nil {
		return sealer{}, fmt.Errorf("sealed: %w", err)
	}
	id, err := hkdf.Key(sha256.New, key.Reveal(), nil, "intercom sealed file 1: key id", keyIDBytes)
	if err != nil {
		return sealer{}, fmt.Errorf("sealed: %w", err)
	}
	return sealer{key: secret.New(file), id: [keyIDBytes]byte(id)}, nil
}

// seal returns the whole file. The nonce is random: with 24 bytes of it, two saves under one key would
// have to number 2^80 before they meet with a chance of one in four billion, and no counter has to
// survive a restored backup, which is where counters repeat.
func (s sealer) seal(plain []byte) ([]byte, error) {
	if len(plain) > maxFile-headerBytes-chacha20poly1305.Overhead {
		return nil, fault.New(fault.TooLarge, "STORE_FULL", "the credential store is full")
	}
	aead, err := chacha20poly1305.NewX(s.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	var h header
	copy(h[:], magic)
	h[atFormat] = format
	copy(h[atKeyID:], s.id[:])
	_, _ = rand.Read(h.nonce()) // never fails: it ends the process instead
	binary.BigEndian.PutUint32(h[atLength:], uint32(len(plain)+chacha20poly1305.Overhead))
	return aead.Seal(h[:len(h):len(h)], h.nonce(), plain, h[:]), nil
}

// open returns the document of a whole file, or why there is none.
func (s sealer) open(file []byte) ([]byte, error) {
	h, err := readHeader(file)
	if err != nil {
		return nil, err
	}
	if h.keyID() != s.id {
		return nil, wrongKey(h.keyID(), s.id)
	}
	body := file[headerBytes:]
	switch want := int64(h.length()); {
	case int64(len(body)) < want:
		return nil, unreadable("STORE_TRUNCATED", "it has %d bytes, %d were written: restore it from a backup", len(file), int64(headerBytes)+want)
	case int64(len(body)) > want:
		return nil, unreadable("STORE_TAMPERED", "%d bytes were added at its end", int64(len(body))-want)
	}
	aead, err := chacha20poly1305.NewX(s.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	plain, err := aead.Open(nil, h.nonce(), body, h[:])
	if err != nil {
		return nil, unreadable("STORE_TAMPERED", "its bytes were changed since it was sealed: restore it from a backup")
	}
	return plain, nil
}

// readHeader tells a sealed file from what is none, and from what this version cannot read. Nothing of
// it is authenticated yet.
func readHeader(file []byte) (h header, err error) {
	n := copy(h[:], file)
	switch {
	case !bytes.HasPrefix(h[:], []byte(magic)[:min(n, len(magic))]):
		return h, unreadable("STORE_NOT_SEALED", "it is not a sealed file")
	case n > atFormat && h[atFormat] != format:
		return h, unreadable("STORE_FORMAT", "it is of format %d, this version reads format %d: use the version that wrote it", h[atFormat], format)
	case n < headerBytes:
		return h, unreadable("STORE_TRUNCATED", "it has %d bytes, fewer than its header: restore it from a backup", n)
	}
	return h, nil
}

// unreadable is a file that cannot be read as it is. The detail is for the operator's log: callers learn
// the reason code.
func unreadable(reason, format string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, reason, "the credential store cannot be read").Because(fmt.Errorf(format, args...))
}

// The two reasons that decide what happens next.
const (
	reasonWrongKey = "STORE_WRONG_KEY"
	reasonMissing  = "STORE_MISSING"
)

func wrongKey(file, given [keyIDBytes]byte) *fault.Error {
	return unreadable(reasonWrongKey, "it is sealed with key %x…, the key that was given is %x…", file[:4], given[:4])
}
