package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/mtls"
)

// webTLS returns the web door's TLS configuration, and nil when it is plaintext by an unsafe flag.
func (b *Broker) webTLS() (*tls.Config, error) {
	web := b.cfg.Listen.Web
	if b.cfg.Unsafe.WebPlaintext {
		return nil, nil //nolint:nilnil // no TLS is what was asked for
	}
	certificate, err := b.webCertificate(web)
	if err != nil {
		return nil, fmt.Errorf("listen.web: %w", err)
	}
	authorize := mtls.AllowDomains(b.parts.domains(b.cfg)...)
	return mtls.Web(certificate, b.parts.identity, authorize, "h2", "http/1.1"), nil
}

func (b *Broker) webCertificate(web Web) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if web.Cert != "" {
		files := &certFiles{cert: web.Cert, key: web.Key, log: b.parts.telemetry.Logger()}
		_, err := files.get(nil)
		return files.get, err
	}
	svid, err := b.parts.identity.GetX509SVID()
	if err != nil {
		return nil, err
	}
	if len(svid.Certificates[0].DNSNames) == 0 {
		return nil, errors.New("our SVID has no DNS name, so stock HTTPS clients refuse it: give cert and key, " +
			"or the registration entry a DNS name, or --unsafe-web-plaintext where TLS ends before us")
	}
	return svidCertificate(b.parts.identity), nil
}

func svidCertificate(source x509svid.Source) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		svid, err := source.GetX509SVID()
		if err != nil {
			return nil, err
		}
		cert := &tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: svid.Certificates[0]}
		for _, c := range svid.Certificates {
			cert.Certificate = append(cert.Certificate, c.Raw)
		}
		return cert, nil
	}
}

// certFiles is a certificate in two files, read again when they change. When the new pair does not fit
// together, which it does not for a moment while one file is replaced after the other, the old one stays.
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
		f.log.Warn("the web door keeps its certificate: the new one cannot be read", "error", err.Error())
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
