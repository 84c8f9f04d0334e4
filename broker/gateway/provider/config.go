package provider

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config describes the provider and who we are to it.
type Config struct {
	// Issuer is the provider's name, byte for byte; required. It is https, or http on this machine.
	Issuer string
	// ClientID is ours; required.
	ClientID string
	// Scopes are asked for at login; "openid" is added when it is missing.
	Scopes []string
	// Auth is how we prove who we are; required.
	Auth Auth
	// PAR pushes authorization requests; false means only where the provider's metadata demands it.
	PAR bool
	// DPoP binds each session's tokens to a key of its own (RFC 9449).
	DPoP bool
	// Algorithms may sign ID tokens and logout tokens; nil means the asymmetric ones among what the
	// provider announces.
	Algorithms []string
	// RootCAs verify the provider; nil means the system's.
	RootCAs *x509.CertPool
	// Timeout is for one call; 0 means 10 s.
	Timeout time.Duration
	// LenientLogout accepts logout tokens without a typ of their own, and long-lived ones, from old
	// providers; false means that they are refused.
	LenientLogout bool
	// Retry is how long after a failed attempt the metadata is asked for again; 0 means 1 s, growing to 30 s.
	Retry time.Duration
	// KeyInterval is how soon an unknown kid makes us fetch the provider's keys again, and so how long its token may
	// have to wait; 0 means 2 s.
	KeyInterval time.Duration
	// Logger is told of the provider's moods; nil means nobody is.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const (
	// skew is how far clocks may be apart.
	skew = 30 * time.Second
	// maxToken is more than any ID token or logout token that came for a reason.
	maxToken = 16 << 10
	// maxAnswer is what is read of any answer.
	maxAnswer = 1 << 20
)

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	c.KeyInterval = cmp.Or(c.KeyInterval, 2*time.Second)
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// asymmetric are the algorithms that we verify. Those of a shared secret are not among them: the public key
// would be one (RFC 8725, section 2.1).
func asymmetric() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

func (c Config) check() error {
	if c.ClientID == "" {
		return errors.New("provider: no client id")
	}
	if err := checkURL("issuer", c.Issuer); err != nil {
		return err
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(asymmetric(), alg) {
			return fmt.Errorf("provider: tokens signed with %q are not accepted; choose among %s", alg, strings.Join(asymmetric(), ", "))
		}
	}
	return c.Auth.check()
}

// checkURL accepts addresses to which a secret may be sent: https, or http that does not leave this machine.
func checkURL(what, raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("provider: %s %q is no address of a web server", what, raw)
	case u.Scheme == "https", u.Scheme == "http" && here(u.Hostname()):
		return nil
	}
	return fmt.Errorf("provider: %s %q is not https", what, raw)
}

// here reports whether a name is this machine's (RFC 6761, section 6.3).
func here(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
