package broker

import (
	"crypto/tls"
	"errors"
	"fmt"

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
		return mtls.CertFiles(web.Cert, web.Key, b.parts.telemetry.Logger())
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
