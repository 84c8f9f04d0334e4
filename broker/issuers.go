package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/strict"
)

// OpenIDIssuer is an issuer of users' access tokens.
type OpenIDIssuer struct {
	URL        strict.URL `yaml:"issuer" required:"true" doc:"Its issuer URL, as its metadata and its tokens spell it."`
	Audience   []string   `yaml:"audience" required:"true" doc:"How its access tokens name us in aud; one of these must be there."`
	CA         string     `yaml:"ca" doc:"A PEM file with the authorities that its certificate is verified with; the system's when absent."`
	Groups     string     `yaml:"groups" doc:"The claim that lists a user's groups; groups when absent."`
	Algorithms []string   `yaml:"algorithms" doc:"The algorithms of its signatures, such as RS256; the asymmetric ones when absent."`
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (o *OpenIDIssuer) UnmarshalYAML(n *yaml.Node) error {
	type plain OpenIDIssuer
	if err := strict.Node(n, (*plain)(o)); err != nil {
		return err
	}
	var errs []error
	if !trustworthy(o.URL.URL) {
		errs = append(errs, strict.At(strict.Field(n, "issuer"), "want https; http is for loopback only: whoever can change its keys on the way can make users"))
	}
	if len(o.Audience) == 0 || slices.Contains(o.Audience, "") {
		errs = append(errs, strict.At(strict.Field(n, "audience"), "want what names us in its tokens"))
	}
	for _, alg := range o.Algorithms {
		if !slices.Contains(authn.Asymmetric(), alg) {
			errs = append(errs, strict.At(strict.Field(n, "algorithms"), "%.16q is none that only the issuer can sign with: want some of %v", alg, authn.Asymmetric()))
		}
	}
	return errors.Join(errs...)
}

// trustworthy reports whether nobody on the way can change what u answers.
func trustworthy(u url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// users verifies the access tokens of the configured issuers.
func (b *Broker) users() (*authn.Users, error) {
	var issuers []authn.Issuer
	for _, o := range b.cfg.Issuers {
		pool, err := roots("issuers: "+o.URL.String(), o.CA)
		if err != nil {
			return nil, err
		}
		issuers = append(issuers, authn.Issuer{
			URL: o.URL.String(), Audience: o.Audience, Groups: o.Groups, Algorithms: o.Algorithms, Client: &http.Client{Transport: issuerTransport(pool)},
		})
	}
	users, err := authn.NewUsers(issuers...)
	if err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	return users, nil
}

// issuerTransport is the way to an issuer. Its keys are asked for seldom, and a connection to a node that has gone since
// would be waited on until TCP gives it up, in a quarter of an hour: it is asked whether it lives, and not kept for long.
func issuerTransport(pool *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		IdleConnTimeout: 30 * time.Second, HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second},
	}
}
