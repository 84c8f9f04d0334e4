package mtls

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// CertFiles returns, for tls.Config.GetCertificate, the certificate of two PEM files, read again when they
// change. When the new pair does not fit together, which it does not for a moment while one file is replaced
// after the other, the old one stays. A first pair that cannot be read is an error.
func CertFiles(cert, key string, log *slog.Logger) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	f := &certFiles{cert: cert, key: key, log: log}
	_, err := f.get(nil)
	return f.get, err
}

// certFiles is a certificate in two files.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	stamp   [2]time.Time
	current *tls.Certificate
}

func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stamp, err := f.stat()
	if err == nil && stamp == f.stamp && f.current != nil {
		return f.current, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(f.cert, f.key)
	}
	if err == nil {
		f.current, f.stamp = &pair, stamp
		return f.current, nil
	}
	if f.current != nil {
		f.log.Warn("a door keeps its certificate: the new one cannot be read", "file", f.cert, "error", err.Error())
		return f.current, nil
	}
	return nil, err
}

func (f *certFiles) stat() (stamp [2]time.Time, err error) {
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}
