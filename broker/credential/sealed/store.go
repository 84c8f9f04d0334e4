package sealed

import (
	"context"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Read implements [credential.Store].
func (s *Store) Read(ctx context.Context, name credential.Name) (credential.Credential, error) {
	doc, err := s.about(ctx, name)
	if err != nil {
		return credential.Credential{}, err
	}
	return doc.read(name)
}

// History returns the versions of name that are kept, the latest first.
func (s *Store) History(ctx context.Context, name credential.Name) ([]credential.Credential, error) {
	doc, err := s.about(ctx, name)
	if err != nil {
		return nil, err
	}
	if all := doc.history(name); len(all) > 0 {
		return all, nil
	}
	return nil, credential.Unknown(name)
}

// List implements [credential.Store].
func (s *Store) List(ctx context.Context, prefix credential.Name) ([]credential.Name, error) {
	if prefix != "" {
		if err := prefix.Check(); err != nil {
			return nil, err
		}
	}
	doc, err := s.document(ctx)
	if err != nil {
		return nil, err
	}
	return doc.names(prefix), nil
}

func (s *Store) about(ctx context.Context, name credential.Name) (*document, error) {
	if err := name.Check(); err != nil {
		return nil, err
	}
	return s.document(ctx)
}

func (s *Store) document(ctx context.Context) (*document, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	state := s.look()
	return state.doc, state.err
}

// Write implements [credential.Store].
func (s *Store) Write(ctx context.Context, name credential.Name, fields credential.Fields) (version uint64, err error) {
	if err := name.Check(); err != nil {
		return 0, err
	}
	if err := fields.Check(); err != nil {
		return 0, err
	}
	err = s.change(ctx, func(doc *document) *document {
		after := doc.write(name, fields, s.cfg.Keep, s.cfg.Now())
		version = after.Credentials[name].Last
		return after
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// Delete implements [credential.Store].
func (s *Store) Delete(ctx context.Context, name credential.Name) error {
	if err := name.Check(); err != nil {
		return err
	}
	return s.change(ctx, func(doc *document) *document { return doc.remove(name, s.cfg.Now()) })
}

// Rekey seals the file with another key. Whoever opens it afterwards needs that one; a process that runs
// on it reads its key again if it was told how (Config.Rekeyed), and refuses everything otherwise.
func (s *Store) Rekey(ctx context.Context, key secret.Value) error {
	seal, err := newSealer(key)
	if err != nil {
		return err
	}
	return s.changeUnder(ctx, &seal, func(doc *document) *document {
		return &document{Serial: doc.Serial + 1, Credentials: doc.Credentials}
	})
}

func (s *Store) change(ctx context.Context, edit func(*document) *document) error {
	return s.changeUnder(ctx, nil, edit)
}

// changeUnder edits the newest document and saves it, under the key in use when seal is nil. An unreadable
// file is not replaced: the newest document is not known, and what is there may still be saved.
func (s *Store) changeUnder(ctx context.Context, seal *sealer, edit func(*document) *document) error {
	if err := ended(ctx); err != nil {
		return err
	}
	release, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	before := s.read()
	if before.err != nil {
		return before.err
	}
	after := edit(before.doc)
	if after == before.doc {
		return nil
	}
	if seal == nil {
		seal = s.sealer()
	}
	return s.save(after, *seal)
}

func (s *Store) sealer() *sealer {
	s.mu.Lock()
	defer s.mu.Unlock()
	seal := s.seal
	return &seal
}

// save makes doc the content of the file, and then of this process. Its caller holds the lock.
func (s *Store) save(doc *document, seal sealer) error {
	text, err := doc.encode()
	if err != nil {
		return fault.New(fault.Internal, "", "the credential store cannot be written").Because(err)
	}
	file, err := seal.seal(text)
	if err != nil {
		return err
	}
	at, err := replace(s.cfg.Path, file)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal = seal
	s.adopt(doc, at)
	return nil
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Timeout, "", "the caller's time was over before the credential store was asked").Because(err)
	}
	return nil
}
