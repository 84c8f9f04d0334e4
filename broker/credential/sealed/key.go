package sealed

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/intercom-broker/intercom/broker/secret"
)

const keyBytes = 32

// maxKeyFile bounds the read: the longest form of a key has 64 characters.
const maxKeyFile = 4 << 10

// ReadKey reads a key by its reference, file:/path or env:NAME: 32 bytes as 64 hexadecimal digits or in
// base64, with any white space around. A file that others than its owner and group may read, or that
// others than its owner may write, is refused.
func ReadKey(ref string) (secret.Value, error) {
	scheme, rest, _ := strings.Cut(ref, ":")
	var text []byte
	var err error
	switch scheme {
	case "file":
		text, err = readKeyFile(rest)
	case "env":
		text = []byte(os.Getenv(rest))
		if len(text) == 0 {
			err = fmt.Errorf("the environment variable %s is not set", rest)
		}
	default: // ref may be the key itself, which must not get into a log
		err = errors.New("not a reference: want file:/path or env:NAME")
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("key of the sealed store: %w", err)
	}
	key, err := parseKey(string(text))
	if err != nil {
		return secret.Value{}, fmt.Errorf("key of the sealed store in %s: %w", ref, err)
	}
	return key, nil
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o027 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: others may read or write it; chmod 600 %s (in Kubernetes: defaultMode: 0400)", path, mode.Perm(), path)
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// parseKey says in its errors how long the text is, never what it holds: neither do the decoders' errors
// get out, which quote it.
func parseKey(text string) (secret.Value, error) {
	text = strings.TrimSpace(text)
	key, err := hex.DecodeString(text)
	if len(text) != 2*keyBytes || err != nil {
		standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		key, err = base64.RawStdEncoding.DecodeString(standard)
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("its %d characters are neither hexadecimal digits nor base64: want 32 random bytes, as `openssl rand -hex 32` prints them", len(text))
	}
	if len(key) != keyBytes {
		return secret.Value{}, fmt.Errorf("it has %d bytes, want %d: make one with `openssl rand -hex 32`", len(key), keyBytes)
	}
	if strings.Count(string(key), string(key[:1])) == keyBytes {
		return secret.Value{}, errors.New("all its bytes are the same: make one with `openssl rand -hex 32`")
	}
	return secret.New(key), nil
}

// NewKey returns a new random key.
func NewKey() secret.Value {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails: it ends the process instead
	return secret.New(key)
}

// CreateKey writes a new random key to path, which must not exist, readable by its owner alone, and
// returns it.
func CreateKey(path string) (secret.Value, error) {
	key := NewKey()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return secret.Value{}, fmt.Errorf("key of the sealed store: %w", err)
	}
	_, err = io.WriteString(f, hex.EncodeToString(key.Reveal())+"\n")
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path))); err != nil {
		return secret.Value{}, fmt.Errorf("key of the sealed store: %w", err)
	}
	return key, nil
}
