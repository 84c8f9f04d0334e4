package sealed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
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
	// Poll is how often, at most, a reader looks whether another process changed the file; 0 means 250 ms.
	Poll time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil means discard.
	Logger *slog.Logger
}

func (cfg Config) withDefaults() Config {
	cfg.Keep = cmp.Or(cfg.Keep, 10)
	cfg.Poll = cmp.Or(cfg.Poll, 250*time.Millisecond)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// Store is a [credential.Store] in one sealed file.
type Store struct {
	cfg    Config
	writer chan struct{} // full while one of this process writes: flock is between processes

	mu     sync.Mutex
	looked time.Time
	seal   sealer
	state  state
}

// state is what was last found on the disk.
type state struct {
	doc        *document
	at         stamp
	generation uint64
	err        error // why the file cannot be read as it is now; doc is of before
}

var (
	_ credential.Store        = (*Store)(nil)
	_ credential.Generational = (*Store)(nil)
)

// Open opens the file, and creates an empty one unless that is forbidden.
func Open(cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, errors.New("sealed: no path")
	}
	seal, err := newSealer(cfg.Key)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(cfg.Path); err == nil {
		cfg.Path = real // a rename would replace the link, not the file
	}
	s := &Store{cfg: cfg.withDefaults(), writer: make(chan struct{}, 1), seal: seal}
	err = s.read().err
	if fault.From(err).Reason == reasonMissing && !cfg.MustExist {
		return s, s.create()
	} else if err != nil {
		return nil, err
	}
	return s, nil
}

// create makes the empty file, so that a wrong directory shows at the start and the key is bound at once.
// Whoever has the lock looks again: two may have come here together.
func (s *Store) create() error {
	release, err := s.lock(context.Background())
	if err != nil {
		return err
	}
	defer release()
	if err := s.read().err; fault.From(err).Reason != reasonMissing {
		return err
	}
	s.cfg.Logger.Info("created an empty sealed store", "path", s.cfg.Path)
	return s.save(&document{}, s.seal)
}

// look returns the state, after a look at the disk when that is due.
func (s *Store) look() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.cfg.Now(); now.Sub(s.looked) >= s.cfg.Poll {
		s.looked = now
		if at, err := stampOf(s.cfg.Path); err != nil || s.state.err != nil || at != s.state.at {
			s.reload()
		}
	}
	return s.state
}

// read returns the state after reading the whole file, however it looks from outside: what is about to
// be overwritten must be what is known.
func (s *Store) read() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = s.cfg.Now()
	s.reload()
	return s.state
}

func (s *Store) reload() {
	doc, at, err := s.load()
	if err != nil {
		s.lost(err)
		return
	}
	if old := s.state.doc; old != nil && doc.Serial < old.Serial {
		s.cfg.Logger.Warn("the sealed store went back: was an older file restored?", "path", s.cfg.Path, "from", old.Serial, "to", doc.Serial)
	}
	s.adopt(doc, at)
}

func (s *Store) adopt(doc *document, at stamp) {
	if at == s.state.at && s.state.err == nil {
		return // read again, and as it was
	}
	s.state = state{doc: doc, at: at, generation: s.state.generation + 1}
}

func (s *Store) lost(err error) {
	if s.state.err == nil {
		s.state.generation++
		s.cfg.Logger.Error("the sealed store cannot be read", "error", err)
	}
	s.state.err = err
}

// load reads the file. When it is sealed with another key, the key is read again once.
func (s *Store) load() (*document, stamp, error) {
	file, at, err := readFile(s.cfg.Path, maxFile+1)
	if err != nil {
		return nil, at, err
	}
	text, err := s.seal.open(file)
	if fault.From(err).Reason == reasonWrongKey && s.cfg.Rekeyed != nil {
		text, err = s.openRekeyed(file, err)
	}
	var doc *document
	if err == nil {
		doc, err = decode(text)
	}
	if err != nil {
		e := fault.From(err)
		return nil, at, e.Because(fmt.Errorf("%s: %w", s.cfg.Path, errors.Unwrap(e)))
	}
	return doc, at, nil
}

func (s *Store) openRekeyed(file []byte, wrong error) ([]byte, error) {
	key, err := s.cfg.Rekeyed()
	if err != nil {
		return nil, fault.From(wrong).Because(errors.Join(errors.Unwrap(wrong), err))
	}
	seal, err := newSealer(key)
	if err != nil {
		return nil, fault.From(wrong).Because(err)
	}
	text, err := seal.open(file)
	if err == nil {
		s.cfg.Logger.Info("the sealed store was sealed with another key, which is in use now", "path", s.cfg.Path)
		s.seal = seal
	}
	return text, err
}

// Ready returns why the file cannot be read as it is now, or nil.
func (s *Store) Ready() error { return s.look().err }

// Generation implements [credential.Generational].
func (s *Store) Generation() uint64 { return s.look().generation }
