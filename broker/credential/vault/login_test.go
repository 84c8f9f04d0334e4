package vault_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/deploy/stack"
)

var _ vault.Identity = (*svid.Source)(nil)

// ready waits for the login.
func ready(t *testing.T, s *vault.Store) {
	t.Helper()
	eventually(t, "the login", func() bool { return s.Ready() == nil })
}

func TestRefusedLoginsNameTheCure(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	f.role(t, "elsewhere", map[string]any{"bound_subject": "spiffe://intercom.test/other"})
	for name, c := range map[string]struct {
		change func(*vault.Config)
		cure   string
	}{
		"audience":     {func(c *vault.Config) { c.Auth.Audience = "https://another" }, `bound_audiences of the role must have "https://another"`},
		"subject":      {func(c *vault.Config) { c.Auth.Role = "elsewhere" }, "bound_subject"},
		"role":         {func(c *vault.Config) { c.Auth.Role = "nobody" }, `a role "nobody"`},
		"login mount":  {func(c *vault.Config) { c.Auth.Mount = "nowhere" }, "is jwt enabled at auth/nowhere"},
		"another key":  {func(c *vault.Config) { c.Identity = setUp(t, f.VaultServer).domain.Source(f.id) }, "must give the trust domain's keys"},
		"cert, no dns": {func(c *vault.Config) { c.Auth = vault.Auth{Method: vault.Cert, Mount: f.cert} }, "-dns"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := f.config(t)
			c.change(&cfg)
			s := open(t, cfg)
			e := fails(t, s, fault.Internal, vault.ReasonLoginRefused)
			if !strings.Contains(e.Error(), c.cure) || s.Ready() == nil || !strings.Contains(s.Ready().Error(), c.cure) {
				t.Errorf("want %q in %v", c.cure, e)
			}
			if e.RetryAfter < time.Second {
				t.Error("the next login is tried, and nobody is told when")
			}
		})
	}
}

// nobody has no SVID.
type nobody struct{}

func (nobody) FetchJWTSVID(context.Context, string) (*jwtsvid.SVID, error) {
	return nil, errors.New("no identity issued")
}
func (nobody) GetX509SVID() (*x509svid.SVID, error) { return nil, errors.New("no identity issued") }

func TestNoIdentity(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	for _, cfg := range []vault.Config{f.config(t), f.certConfig(t)} {
		cfg.Identity = nobody{}
		fails(t, open(t, cfg), fault.Unavailable, vault.ReasonNoIdentity)
	}
}

// TestSVIDRotation logs in by certificate for longer than an SVID lives. A connection that was kept from
// the first login would still show the first SVID.
func TestSVIDRotation(t *testing.T) {
	if testing.Short() {
		t.Skip("lasts some seconds")
	}
	t.Parallel()
	f := setUpDomain(t, stack.Vault(t), embedded.Config{SVIDLife: 4 * time.Second})
	f.Call(t, http.MethodPost, "auth/"+f.cert+"/certs/broker", map[string]any{
		"certificate": certificates(f.domain.Bundle()), "allowed_uri_sans": f.id.String(), "token_policies": f.policy, "token_ttl": 4, "token_max_ttl": 4,
	})
	s := open(t, f.certConfig(t))
	write(t, s, "crm/login")
	if failed := load(t, s, 2, 9*time.Second); failed > 0 {
		t.Errorf("%d reads failed", failed)
	}
}

// TestJWKSOnLoopback lets Vault fetch the keys, as it does from our web door, also after a rotation.
func TestJWKSOnLoopback(t *testing.T) {
	v := stack.Vault(t)
	if u, err := url.Parse(v.Addr); err != nil || v.External() && !isLoopback(u.Hostname()) {
		t.Skip("the Vault that the environment names cannot reach this machine's loopback")
	}
	f := setUp(t, v)
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		keys, err := f.domain.Source(f.id).JWTKeys(f.domain.Name())
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(keys)
	}))
	defer jwks.Close()
	f.jwt = f.Auth(t, "jwt")
	f.Call(t, http.MethodPost, "auth/"+f.jwt+"/config", map[string]any{"jwks_url": jwks.URL})
	f.role(t, "broker", nil)
	write(t, open(t, f.config(t)), "crm/login")
	if err := f.domain.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	reads(t, open(t, f.config(t)), "crm/login")
	jwks.Close()
	if err := f.domain.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	fails(t, open(t, f.config(t)), fault.Unavailable, vault.ReasonNoKeys)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// workload is an identity from a real Workload API.
type workload struct {
	client *workloadapi.Client
	*workloadapi.X509Source
}

func (w workload) FetchJWTSVID(ctx context.Context, audience string) (*jwtsvid.SVID, error) {
	return w.client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
}

// TestSPIRE logs in by both ways with the SVIDs of a real SPIRE.
func TestSPIRE(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	d := stack.SPIRE(t, "a.test").Domain("a.test")
	id := "spiffe://a.test/broker"
	d.Entry(t, id, stack.EntryOptions{DNS: []string{"broker.a.test"}})
	f.trust(t, d, id)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(d.AgentSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClient(client))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	for _, cfg := range []vault.Config{f.config(t), f.certConfig(t)} {
		cfg.Identity = workload{client, source}
		s := open(t, cfg)
		write(t, s, "crm/login")
		reads(t, s, "crm/login")
	}
}

// trust lets the workload of a SPIRE domain in, in the place of the embedded one's.
func (f *fixture) trust(t *testing.T, d *stack.Domain, id string) {
	t.Helper()
	raw, err := d.Bundle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := spiffebundle.Parse(spiffeid.RequireTrustDomainFromString(d.Name), raw)
	if err != nil {
		t.Fatal(err)
	}
	f.Call(t, http.MethodPost, "auth/"+f.jwt+"/config", map[string]any{
		"jwt_validation_pubkeys": publicKeys(t, bundle), "bound_issuer": d.JWTIssuer,
	})
	f.role(t, "broker", map[string]any{"bound_subject": id})
	f.Call(t, http.MethodPost, "auth/"+f.cert+"/certs/broker", map[string]any{
		"certificate": certificates(bundle), "allowed_uri_sans": id, "token_policies": f.policy,
	})
}
