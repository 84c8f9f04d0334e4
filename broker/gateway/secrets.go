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
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// maxSecret bounds a file with a secret: a wrong name in the configuration must not read a disk.
const maxSecret = 64 << 10

// secrets reads what references of the file refer to. vault: is a credential of that name, which a broker
// leases to us: a gateway never speaks to the store.
type secrets struct {
	client *client.Client

	mu   sync.Mutex
	held map[string]lease
}

type lease struct {
	fields map[string]secret.Value
	renew  time.Time
}

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
		return secret.Value{}, fmt.Errorf("the environment variable %s is not set", ref.Name)
	default:
		return s.leased(ctx, ref)
	}
}

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

// leased asks a broker, at most once until the lease wants to be renewed: a login must not cost a lease.
func (s *secrets) leased(ctx context.Context, ref strict.Ref) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.held[ref.Name]
	if !ok || time.Now().After(l.renew) {
		got, err := s.client.Lease(ctx, &intercomv1.LeaseRequest{Credential: ref.Name, Purpose: "gateway configuration"})
		if err != nil {
			return secret.Value{}, fmt.Errorf("credential %s: %w", ref.Name, err)
		}
		l = lease{fields: map[string]secret.Value{}, renew: got.GetCredential().GetRenewAfter().AsTime()}
		for name, value := range got.GetCredential().GetFields() {
			l.fields[name] = secret.New(value)
		}
		if s.held == nil {
			s.held = map[string]lease{}
		}
		s.held[ref.Name] = l
	}
	value, ok := l.fields[ref.Field]
	if !ok {
		return secret.Value{}, fmt.Errorf("credential %s has no field %q", ref.Name, ref.Field)
	}
	return value, nil
}

// keyBytes is what an AES-256 key has.
const keyBytes = 32

// sealingKeys reads the keys of the ring, the newest first. Each reference may hold several, one a line, so that
// a key is put before another without a new configuration.
func (s *secrets) sealingKeys(ctx context.Context, refs []strict.Ref) (keys []secret.Value, err error) {
	for _, ref := range refs {
		text, err := s.read(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("sessions.keys: %w", err)
		}
		for line := range bytes.FieldsSeq(text.Reveal()) {
			key, err := parseKey(line)
			if err != nil {
				return nil, fmt.Errorf("sessions.keys: %s: %w", ref, err)
			}
			keys = append(keys, secret.New(key))
		}
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
