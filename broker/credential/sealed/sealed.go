// Package sealed is the embedded credential store: one AEAD-sealed file.
package sealed

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Config configures a Store.
type Config struct {
	// Path is the sealed file; required. Beside it stand PATH.lock and, for moments, a temporary file.
	Path string
	// Key seals the file: 32 bytes, as [ReadKey] returns them; required.
	Key secret.Value
	// Rekeyed is asked for the key again when the file turns out to be sealed with another one than Key,
	// so that a running process follows a rekey; nil means that such a file is an error.
	Rekeyed func() (secret.Value, error)
	// MustExist makes a missing file an error; false means that an empty one is created.
	MustExist bool
	// Keep is how many versions of a credential are kept; 0 means 10.
	Keep int
	// Poll is how often a reader looks whether another process changed the file; 0 means 250 ms.
	Poll time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil means discard.
	Logger *slog.Logger
}

// Store is a [credential.Store] in one sealed file.
type Store struct{ cfg Config }

// Open opens the file.
func Open(cfg Config) (*Store, error) { return &Store{cfg: cfg}, nil }

// Read implements [credential.Store].
func (s *Store) Read(ctx context.Context, name credential.Name) (credential.Credential, error) {
	panic("not yet")
}

// Write implements [credential.Store].
func (s *Store) Write(ctx context.Context, name credential.Name, fields credential.Fields) (uint64, error) {
	panic("not yet")
}

// Delete implements [credential.Store].
func (s *Store) Delete(ctx context.Context, name credential.Name) error { panic("not yet") }

// List implements [credential.Store].
func (s *Store) List(ctx context.Context, prefix credential.Name) ([]credential.Name, error) {
	panic("not yet")
}

// History returns the versions of name that are kept, the latest first.
func (s *Store) History(ctx context.Context, name credential.Name) ([]credential.Credential, error) {
	panic("not yet")
}

// Generation implements [credential.Generational].
func (s *Store) Generation() uint64 { panic("not yet") }

// Ready returns why the file cannot be read, or nil.
func (s *Store) Ready() error { return nil }

// Rekey seals the file with another key.
func (s *Store) Rekey(ctx context.Context, key secret.Value) error { panic("not yet") }

// Export writes the latest version of every credential to w as plain JSON, values revealed. For a sealed
// copy, copy the file: it holds all that is needed but the key.
func (s *Store) Export(ctx context.Context, w io.Writer) error { panic("not yet") }

// ReadKey reads a key by its reference: file:/path or env:NAME, 32 bytes in hex or base64.
func ReadKey(ref string) (secret.Value, error) { panic("not yet") }

// CreateKey writes a new random key to path, which must not exist, and returns it.
func CreateKey(path string) (secret.Value, error) { panic("not yet") }
