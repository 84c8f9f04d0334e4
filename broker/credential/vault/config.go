package vault

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/intercom-broker/intercom/broker/credential"
)

// Method is a way to log in.
type Method string

// The ways to log in. Both prove who we are with our SVID.
const (
	JWT  Method = "jwt"  // a JWT-SVID to auth/jwt
	Cert Method = "cert" // the X.509-SVID as TLS client certificate to auth/cert
)

// Auth says how to log in.
type Auth struct {
	// Method is the way; empty means JWT.
	Method Method
	// Mount is where the method is enabled, without auth/ before it; empty means the method's own name.
	Mount string
	// Role is the role to log in to; empty means the server's default role (JWT) or whichever fits (Cert).
	Role string
	// Audience is what the JWT-SVID is made out to, and what the role's bound_audiences must have. Empty
	// means the Address: a token for one Vault is of no use at another.
	Audience string
}

// Identity is who we are: our own SVIDs. *svid.Source is one.
type Identity interface {
	FetchJWTSVID(ctx context.Context, audience string) (*jwtsvid.SVID, error)
	GetX509SVID() (*x509svid.SVID, error)
}

// Config configures a Store.
type Config struct {
	// Address is the URL of Vault; required. It is https, or http to a loopback address. Proxies that the
	// environment names are not used.
	Address string
	// UnsafePlaintext allows http to any address: login and credentials then pass the network as they
	// are. False refuses.
	UnsafePlaintext bool
	// CACert is a file of PEM certificates that Vault's is verified with; empty means the system's.
	CACert string
	// Namespace is sent with every request, for OpenBao and Vault Enterprise; empty means none.
	Namespace string
	// Mount is where the KV version 2 engine is; empty means "secret".
	Mount string
	// Prefix stands before every credential's name in the engine; empty means none.
	Prefix credential.Name
	// Auth says how to log in; the zero Auth is by JWT-SVID.
	Auth Auth
	// Identity is who logs in; required.
	Identity Identity
	// Timeout bounds each request to Vault; 0 means 5 s.
	Timeout time.Duration
	// Logger is told of logins and of what goes wrong with them; nil means nobody is.
	Logger *slog.Logger
	// Tracer makes a span for each request; nil means none.
	Tracer trace.Tracer
	// Metrics counts; nil means nobody does.
	Metrics *Metrics
}

func (c Config) withDefaults() Config {
	c.Address = strings.TrimRight(c.Address, "/")
	c.Mount = cmp.Or(c.Mount, "secret")
	c.Auth.Method = cmp.Or(c.Auth.Method, JWT)
	c.Auth.Mount = cmp.Or(c.Auth.Mount, string(c.Auth.Method))
	c.Auth.Audience = cmp.Or(c.Auth.Audience, c.Address)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Tracer == nil {
		c.Tracer = noop.NewTracerProvider().Tracer("")
	}
	return c
}

// mountPath keeps a mount inside its place in the URL.
var mountPath = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

func (c Config) check() error {
	var errs []error
	errs = append(errs, c.checkAddress())
	if c.Identity == nil {
		errs = append(errs, errors.New("an identity to log in with is missing"))
	}
	if c.Auth.Method != JWT && c.Auth.Method != Cert {
		errs = append(errs, fmt.Errorf("login method %q: want %q or %q", c.Auth.Method, JWT, Cert))
	}
	if c.Auth.Method == Cert && !strings.HasPrefix(c.Address, "https:") {
		errs = append(errs, errors.New("a login by certificate needs an https address"))
	}
	for what, mount := range map[string]string{"mount": c.Mount, "login mount": c.Auth.Mount} {
		if !mountPath.MatchString(mount) {
			errs = append(errs, fmt.Errorf("%s %q: want a path such as %q", what, mount, "team/kv"))
		}
	}
	if c.Prefix != "" {
		errs = append(errs, c.Prefix.Check())
	}
	return errors.Join(errs...)
}

func (c Config) checkAddress() error {
	u, err := url.Parse(c.Address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("address %q: want a URL such as https://vault.internal:8200", c.Address)
	}
	switch {
	case u.Scheme == "https", u.Scheme == "http" && (c.UnsafePlaintext || loopback(u.Hostname())):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("address %s: plain http to another host would show login and credentials to the network; want https", c.Address)
	default:
		return fmt.Errorf("address %s: want https", c.Address)
	}
}

// loopback reports whether host never leaves the machine.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// roots are the CAs that Vault's certificate is verified with; nil means the system's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CACert == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CACert)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.CACert)
	}
	return pool, nil
}
