package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
)

// maxSecret bounds a file with a secret: a wrong name in the configuration must not read a disk.
const maxSecret = 64 << 10

// secrets reads what references of the file refer to. vault: is a credential of that name, which a broker
// leases to us: a gateway never speaks to the store.
type secrets struct{ leases *leases }

func (s *secrets) read(ctx context.Context, ref strict.Ref) (secret.Value, error) {
	switch ref.Scheme {
	case "":
		return secret.Value{}, nil
	case "file":
		return readFile(ref.Name)
	case "env":
		if text := os.Getenv(ref.Name); text != "" {
			return secret.FromString(text), nil
		}
		return secret.Value{}, fmt.Errorf("the environment variable %s %w", ref.Name, errNotSet)
	default:
		return s.leases.field(ctx, ref.Name, ref.Field)
	}
}

var errNotSet = errors.New("is not set")

func readFile(name string) (secret.Value, error) {
	f, err := os.Open(name)
	if err != nil {
		return secret.Value{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return secret.Value{}, err
	case len(text) > maxSecret:
		return secret.Value{}, fmt.Errorf("%s: larger than 64 KiB", name)
	}
	if text = bytes.TrimRight(text, "\r\n"); len(text) == 0 {
		return secret.Value{}, fmt.Errorf("%s is empty", name)
	}
	return secret.New(text), nil
}

// keyBytes is what an AES-256 key has.
const keyBytes = 32

// sealingKeys reads the keys of the ring, the newest first. Each reference may hold several, one a line, so that
// a key is put before another without a new configuration.
func (s *secrets) sealingKeys(ctx context.Context, refs []strict.Ref) (keys []secret.Value, err error) {
	for _, ref := range refs {
		some, err := s.keysOf(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("sessions.keys: %w", err)
		}
		keys = append(keys, some...)
	}
	return keys, nil
}

func (s *secrets) keysOf(ctx context.Context, ref strict.Ref) (keys []secret.Value, err error) {
	text, err := s.read(ctx, ref)
	if err != nil {
		return nil, err
	}
	for line := range bytes.FieldsSeq(text.Reveal()) {
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		keys = append(keys, secret.New(key))
	}
	return keys, nil
}

// parseKey reads 32 bytes as 64 hexadecimal digits or in base64. The error does not repeat what was read.
func parseKey(text []byte) ([]byte, error) {
	if key, err := hex.DecodeString(string(text)); err == nil && len(key) == keyBytes {
		return key, nil
	}
	for _, form := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := form.DecodeString(string(text)); err == nil && len(key) == keyBytes {
			return key, nil
		}
	}
	return nil, errors.New("want 32 bytes in base64 or as 64 hexadecimal digits; openssl rand -base64 32 makes one")
}
