package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	keyFile    = "key"
	publicFile = "key.pub"
)

// fileKey is the directory's own key.
type fileKey ed25519.PrivateKey

// Sign implements Signer.
func (k fileKey) Sign(_ context.Context, message []byte) (Signature, error) {
	key := ed25519.PrivateKey(k)
	return Signature{Key: key.Public().(ed25519.PublicKey), Bytes: ed25519.Sign(key, message)}, nil
}

// openKey reads the key of dir, or makes it for a log that is new. For a log that exists a missing or
// broken key is an error: a silent new one would make every older checkpoint worthless.
func openKey(dir string, fresh bool) (Signer, error) {
	path := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && fresh {
		return createKey(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("audit: the signing key: %w (bring it back, or move the directory away to begin a new log)", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("audit: %s holds no PEM block", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("audit: %s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("audit: %s holds a %T, not an Ed25519 key", path, key)
	}
	return fileKey(private), nil
}

func createKey(dir string) (Signer, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	err = errors.Join(
		writePEM(filepath.Join(dir, publicFile), "PUBLIC KEY", publicDER, 0o644),
		writePEM(filepath.Join(dir, keyFile), "PRIVATE KEY", privateDER, 0o600))
	return fileKey(private), err
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	if err := writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// ReadPublicKey reads a PEM file with an Ed25519 public key, such as `key.pub` of a log.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("audit: %s holds no PEM block", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("audit: %s: %w", path, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("audit: %s holds a %T, not an Ed25519 key", path, key)
	}
	return public, nil
}
