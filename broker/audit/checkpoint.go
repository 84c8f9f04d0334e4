package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

const (
	headFile = "head"
	// signTimeout bounds a Signer that is somewhere else.
	signTimeout = 5 * time.Second
	// maxCovered is how far behind its own place a checkpoint may sign: Verify remembers so many hashes.
	maxCovered = 1 << 16
)

// Seal is a signature over the chain up to an entry. It stands in checkpoints and in the head file.
type Seal struct {
	// Covers and Root are the number and the hash of the last entry that is covered.
	Covers uint64 `json:"covers"`
	Root   string `json:"root"`
	// Key is the public half of the key that signed, Sig its signature over the message "intercom audit
	// checkpoint 1", Covers in decimal and Root, each with a newline after it.
	Key []byte `json:"key"`
	Sig []byte `json:"sig"`
}

func message(covers uint64, root string) []byte {
	return fmt.Appendf(nil, "intercom audit checkpoint 1\n%d\n%s\n", covers, root)
}

// signedBy reports whether s bears key's signature.
func (s *Seal) signedBy(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message(s.Covers, s.Root), s.Sig)
}

func (f fields) seal(s *Seal) fields {
	f = strconv.AppendUint(f.key("covers"), s.Covers, 10)
	f = f.text("root", s.Root)
	f = f.text("key", base64.StdEncoding.EncodeToString(s.Key))
	return f.text("sig", base64.StdEncoding.EncodeToString(s.Sig))
}

// seal has the chain signed up to at.
func (l *Log) seal(ctx context.Context, at chain) (*Seal, error) {
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	root := at.hash.String()
	sig, err := l.cfg.Signer.Sign(ctx, message(at.seq, root))
	if err != nil {
		return nil, fmt.Errorf("audit: sign a checkpoint: %w", err)
	}
	return &Seal{Covers: at.seq, Root: root, Key: sig.Key, Sig: sig.Bytes}, nil
}

// checkpoint signs what there is, if there is something new. The signer and the disk work while others
// write, so a checkpoint may cover a little less than what stands before it. The caller does not hold
// lead.
func (l *Log) checkpoint(ctx context.Context) error {
	if err := l.failed.Load(); err != nil {
		return err
	}
	if err := l.watchSegment(); err != nil {
		return err
	}
	l.lead <- struct{}{}
	at, due := l.at, l.unsigned()
	<-l.lead
	if !due {
		return nil
	}
	s, err := l.seal(ctx, at)
	if err != nil {
		return err
	}
	l.lead <- struct{}{}
	line, err := l.place(s)
	<-l.lead
	if err != nil {
		return err
	}
	return l.publish(line)
}

// unsigned reports whether there is an entry to sign besides the last checkpoint. The caller holds lead.
func (l *Log) unsigned() bool { return l.at.seq > l.signed+1 }

// place writes the checkpoint and returns its line. The caller holds lead.
func (l *Log) place(s *Seal) (line []byte, err error) {
	if l.at.seq-s.Covers > maxCovered {
		return nil, errors.New("audit: the signer took so long that its checkpoint is too old")
	}
	if err := l.writeOwn(l.own(KindCheckpoint).seal(s)); err != nil {
		return nil, err
	}
	l.signed = s.Covers
	return bytes.Clone(l.out), nil
}

// publish replaces the head, after what it promises is safe from a power failure.
func (l *Log) publish(line []byte) error {
	if err := l.sync(); err != nil {
		return err
	}
	l.cfg.Metrics.checkpointed()
	err := writeHead(l.cfg.Dir, line)
	for noSpace(err) && l.reserve.release(int64(len(line))) {
		err = writeHead(l.cfg.Dir, line)
	}
	return err
}

func writeHead(dir string, line []byte) error {
	if err := writeFile(filepath.Join(dir, headFile), line, 0o600); err != nil {
		return fmt.Errorf("audit: write the head: %w", err)
	}
	return nil
}

// firstHead is the head of a log in which nothing stands yet.
func firstHead(s *Seal) []byte {
	return append(append([]byte(`{"seq":0,`), fields{}.seal(s)...), "}\n"...)
}

// isHead reports whether e can be a head: a checkpoint, or what stands there before the first. A
// checkpoint's bytes are held against the log's where it comes by.
func isHead(e *Entry) bool {
	if e.Seq == 0 {
		return e.Covers == 0 && bytes.Equal(e.Raw, firstHead(&e.Seal))
	}
	return e.Kind == KindCheckpoint && e.Covers < e.Seq
}

// readHead returns the last signed checkpoint.
func readHead(dir string) (*Entry, error) {
	text, err := readBounded(filepath.Join(dir, headFile), maxLine)
	if err != nil {
		return nil, fmt.Errorf("audit: read the head: %w", err)
	}
	e, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("audit: read the head: %w", err)
	}
	e.Raw = text
	return &e, nil
}
