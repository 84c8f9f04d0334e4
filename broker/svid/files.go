package svid

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// maxFile bounds each file: a bundle of a hundred authorities has a tenth of it.
const maxFile = 1 << 20

// openFiles reads the files once, and then again and again.
func (s *Source) openFiles(_, watching context.Context) error {
	if s.cfg.CertFile == "" || s.cfg.KeyFile == "" {
		return errors.New("neither a socket nor a certificate and a key file is named: our identity has no source")
	}
	files, digest, err := s.readFiles()
	if err == nil {
		err = s.take(files)
	}
	if err != nil {
		return err
	}
	s.wg.Go(func() { s.poll(watching, digest) })
	return nil
}

// poll compares contents, not times: a mounted Kubernetes secret changes by a symbolic link, and a
// rotation that writes two files is seen between them, when certificate and key do not belong together.
func (s *Source) poll(ctx context.Context, seen [sha256.Size]byte) {
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		files, digest, err := s.readFiles()
		if err == nil && digest == seen {
			s.recovered(whatFiles) // a broken file may also become again what it was
			continue
		}
		if err == nil {
			err = s.take(files)
		}
		if err != nil {
			s.failed(whatFiles, err)
			continue
		}
		seen = digest
	}
}

// take makes a state of the files' contents, whole or not at all.
func (s *Source) take(files map[string][]byte) error {
	fresh, err := s.parse(files)
	if err == nil {
		err = s.check(fresh)
	}
	if err != nil {
		return err
	}
	if s.swap(func(state) state { return fresh }) {
		s.held()
	}
	s.succeeded(whatFiles)
	return nil
}

// readFiles returns the contents by path, and a digest over all of them.
func (s *Source) readFiles() (files map[string][]byte, digest [sha256.Size]byte, err error) {
	paths := []string{s.cfg.CertFile, s.cfg.KeyFile}
	for _, path := range s.cfg.Bundles {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	files = map[string][]byte{}
	all := sha256.New()
	for _, path := range paths {
		if files[path], err = readFile(path); err != nil {
			return nil, digest, err
		}
		sum := sha256.Sum256(files[path])
		_, _ = all.Write(sum[:])
	}
	return files, [sha256.Size]byte(all.Sum(nil)), nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return data, err
}

func (s *Source) parse(files map[string][]byte) (state, error) {
	own, err := x509svid.Parse(files[s.cfg.CertFile], files[s.cfg.KeyFile])
	if err != nil {
		return state{}, fmt.Errorf("%s with %s: %w%s", s.cfg.CertFile, s.cfg.KeyFile, err, keyHint(files[s.cfg.KeyFile]))
	}
	fresh := state{svid: own, x509: x509bundle.NewSet(), jwt: jwtbundle.NewSet()}
	for name, path := range s.cfg.Bundles {
		td, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return state{}, fmt.Errorf("bundle of %q: %w", name, err)
		}
		bundle, err := parseBundle(td, files[path])
		if err != nil {
			return state{}, fmt.Errorf("%s: %w", path, err)
		}
		fresh.x509.Add(bundle.X509Bundle())
		fresh.jwt.Add(bundle.JWTBundle())
	}
	return fresh, nil
}

// keyHint is the cure for keys in the forms that openssl wrote for long.
func keyHint(key []byte) string {
	if block, _ := pem.Decode(key); block != nil && (block.Type == "EC PRIVATE KEY" || block.Type == "RSA PRIVATE KEY") {
		return " (the key is not PKCS #8: openssl pkcs8 -topk8 -nocrypt converts it)"
	}
	return ""
}

// parseBundle reads a SPIFFE bundle (JSON) or PEM certificates as the authorities of td. One without any
// is refused: it would turn a truncated file into a domain that nobody can speak for.
func parseBundle(td spiffeid.TrustDomain, data []byte) (*spiffebundle.Bundle, error) {
	var bundle *spiffebundle.Bundle
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		bundle, err = spiffebundle.Parse(td, data)
	} else {
		var authorities *x509bundle.Bundle
		if authorities, err = x509bundle.Parse(td, data); err == nil {
			bundle = spiffebundle.FromX509Bundle(authorities)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("bundle of %s: %w", td, err)
	}
	if len(bundle.X509Authorities()) == 0 && len(bundle.JWTAuthorities()) == 0 {
		return nil, fmt.Errorf("bundle of %s: there is no authority in it", td)
	}
	return bundle, publicOnly(bundle.JWTBundle())
}
