package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/intercom-broker/intercom/broker/credential"
)

// maxWriteTries is how often a write starts over because somebody else wrote the same name.
const maxWriteTries = 16

// Store is a credential.Store in Vault.
type Store struct {
	cfg     Config
	caller  *caller
	session *session
	writing chan struct{} // of one place: writers of this process need not race each other
}

var _ credential.Store = (*Store)(nil)

// Open returns a Store and begins to log in. It does not wait for Vault, which may need our own JWKS
// before it can let us in: until there is a login, requests wait for it or fail with the reason that
// [Store.Ready] gives. ctx is for its values; Close ends the Store.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	l, err := newLanes(cfg)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	c := &caller{timeout: cfg.Timeout, tracer: cfg.Tracer, metrics: cfg.Metrics}
	return &Store{cfg: cfg, caller: c, session: newSession(ctx, cfg, l, c), writing: make(chan struct{}, 1)}, nil
}

// Ready returns nil while there is a login, and why there is none otherwise. An outage that comes later
// is told by each call and not here: all replicas share one Vault, and would all leave together.
func (s *Store) Ready() error { return s.session.ready() }

// Close ends the Store and revokes its login.
func (s *Store) Close() { s.session.close() }

// Read implements credential.Store.
func (s *Store) Read(ctx context.Context, name credential.Name) (credential.Credential, error) {
	if err := name.Check(); err != nil {
		return credential.Credential{}, err
	}
	var answer dataAnswer
	err := s.do(ctx, "read", get(s.path("data", name), nil), &answer)
	switch {
	case errors.Is(err, errNotFound): // Vault says so of deleted and destroyed versions too
		return credential.Credential{}, credential.Unknown(name)
	case err != nil:
		return credential.Credential{}, err
	case answer.Data.Metadata.Version == 0:
		return credential.Credential{}, final(ReasonNoMount, "the credential store is not set up: its mount is of another kind", errForeign)
	}
	return answer.credential(name), nil
}

// Write implements credential.Store. It always checks and sets, so that it works where cas_required is
// on, and writes over no version that it did not see.
func (s *Store) Write(ctx context.Context, name credential.Name, fields credential.Fields) (uint64, error) {
	if err := name.Check(); err != nil {
		return 0, err
	}
	if err := fields.Check(); err != nil {
		return 0, err
	}
	data, err := encode(fields)
	if err != nil {
		return 0, err
	}
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return 0, failure(ctx, "write", ctx.Err())
	}
	for try := range maxWriteTries {
		version, err := s.writeOnce(ctx, name, data)
		if !errors.Is(err, errConflict) {
			return version, err
		}
		sleep(ctx, rand.N(10*time.Millisecond<<min(try, 5)))
	}
	return 0, outage(ReasonConflict, "the credential is being written by others again and again", time.Second, errConflict)
}

func (s *Store) writeOnce(ctx context.Context, name credential.Name, data json.RawMessage) (uint64, error) {
	version, err := s.version(ctx, name)
	if err != nil {
		return 0, err
	}
	body, err := json.Marshal(map[string]any{"options": map[string]uint64{"cas": version}, "data": data})
	if err != nil {
		return 0, err
	}
	var answer writeAnswer
	err = s.do(ctx, "write", func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		return v.WriteRawWithContext(ctx, s.path("data", name), body)
	}, &answer)
	return answer.Data.Version, err
}

// version is the number of the latest version, deleted ones included, and 0 where there is none.
func (s *Store) version(ctx context.Context, name credential.Name) (uint64, error) {
	var answer metadataAnswer
	err := s.do(ctx, "version", get(s.path("metadata", name), nil), &answer)
	if errors.Is(err, errNotFound) {
		return 0, nil
	}
	return answer.Data.CurrentVersion, err
}

// Delete implements credential.Store: all versions go, and their metadata.
func (s *Store) Delete(ctx context.Context, name credential.Name) error {
	if err := name.Check(); err != nil {
		return err
	}
	err := s.do(ctx, "delete", func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		_, err := v.DeleteWithContext(ctx, s.path("metadata", name))
		return nil, err
	}, nil)
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

// path is where a name is in the engine's data or metadata. Names are checked: nothing in them needs
// escaping, and no segment is "..".
func (s *Store) path(kind string, name credential.Name) string {
	segments := []string{s.cfg.Mount, kind}
	for _, n := range []credential.Name{s.cfg.Prefix, name} {
		if n != "" {
			segments = append(segments, string(n))
		}
	}
	return strings.Join(segments, "/")
}

func get(path string, query url.Values) request {
	return func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		return v.ReadRawWithDataWithContext(ctx, path, query)
	}
}
