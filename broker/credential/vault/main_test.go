package vault_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

const audience = "https://vault.of.the.test"

// fixture is a Vault that lets the broker of a trust domain in.
type fixture struct {
	*stack.VaultServer
	domain *embedded.Domain
	id     spiffeid.ID
	// kv is the mount, policy what the broker may do there, jwt and cert where it logs in.
	kv, policy, jwt, cert string
}

// setUp prepares v. Vault gets the trust domain's keys as they are: one that runs elsewhere could not
// fetch them from the test.
func setUp(t *testing.T, v *stack.VaultServer) *fixture {
	t.Helper()
	return setUpDomain(t, v, embedded.Config{})
}

func setUpDomain(t *testing.T, v *stack.VaultServer, cfg embedded.Config) *fixture {
	t.Helper()
	domain, err := embedded.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{VaultServer: v, domain: domain, id: domain.ID("/broker"), kv: v.KV(t)}
	f.policy = v.Policy(t, rules(f.kv))
	f.jwt = v.Auth(t, "jwt")
	v.Call(t, http.MethodPost, "auth/"+f.jwt+"/config", map[string]any{"jwt_validation_pubkeys": publicKeys(t, domain.Bundle())})
	f.role(t, "broker", nil)
	f.cert = v.Auth(t, "cert")
	v.Call(t, http.MethodPost, "auth/"+f.cert+"/certs/broker", map[string]any{
		"certificate": certificates(domain.Bundle()), "allowed_uri_sans": f.id.String(), "token_policies": f.policy,
	})
	return f
}

func rules(kv string) string { return rulesBelow(kv, "") }

// rulesBelow are those that the package's documentation asks for.
func rulesBelow(kv, prefix string) string {
	return `path "` + kv + `/data/` + prefix + `*" { capabilities = ["create", "read", "update"] }
path "` + kv + `/metadata/` + prefix + `*" { capabilities = ["read", "list", "delete"] }`
}

// role writes a role of auth/jwt, with changes to what lets the broker in.
func (f *fixture) role(t *testing.T, name string, changes map[string]any) {
	t.Helper()
	role := map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_subject": f.id.String(), "bound_audiences": audience,
		"token_policies": f.policy,
	}
	maps.Copy(role, changes)
	f.Call(t, http.MethodPost, "auth/"+f.jwt+"/role/"+name, role)
}

func publicKeys(t *testing.T, bundle *spiffebundle.Bundle) (pems []string) {
	t.Helper()
	for _, key := range bundle.JWTAuthorities() {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		pems = append(pems, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	return pems
}

func certificates(bundle *spiffebundle.Bundle) string {
	var b bytes.Buffer
	for _, c := range bundle.X509Authorities() {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.String()
}

// config logs in by JWT-SVID.
func (f *fixture) config(t *testing.T) vault.Config {
	return vault.Config{
		Address: f.Addr, CACert: f.CACert, Mount: f.kv, Identity: f.domain.Source(f.id),
		Auth: vault.Auth{Mount: f.jwt, Role: "broker", Audience: audience}, Logger: logger(t),
	}
}

// certConfig logs in by certificate.
func (f *fixture) certConfig(t *testing.T) vault.Config {
	f.domain.SetDNS(f.id, "broker.intercom.test")
	cfg := f.config(t)
	cfg.Auth = vault.Auth{Method: vault.Cert, Mount: f.cert, Role: "broker"}
	return cfg
}

func open(t *testing.T, cfg vault.Config) *vault.Store {
	t.Helper()
	s, err := vault.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// logger shows the log of a test that fails, and fails a test whose log has a planted secret.
func logger(t *testing.T) *slog.Logger {
	t.Helper()
	log := &telemetrytest.Log{}
	t.Cleanup(func() {
		if strings.Contains(log.String(), planted) || strings.Contains(log.String(), "hvs.") {
			t.Errorf("a secret is in the log:\n%s", log)
		} else if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

const planted = "pl4nted-s3cret"

func login() credential.Fields { return credential.Fields{"password": secret.FromString(planted)} }

func write(t *testing.T, s *vault.Store, name credential.Name) {
	t.Helper()
	if _, err := s.Write(t.Context(), name, login()); err != nil {
		t.Fatal(err)
	}
}

// reads checks that what write wrote is read.
func reads(t *testing.T, s *vault.Store, name credential.Name) {
	t.Helper()
	got, err := s.Read(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Fields.Equal(login()) {
		t.Errorf("read fields %q of version %d, not what was written", got.Fields.Names(), got.Version)
	}
}

// fails checks kind and reason of a failed read, and that nothing of Vault's words goes to the caller.
func fails(t *testing.T, s *vault.Store, kind fault.Kind, reason string) *fault.Error {
	t.Helper()
	_, err := s.Read(t.Context(), "crm/login")
	wantFault(t, err, kind, reason)
	return fault.From(err)
}

func wantFault(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != kind || e.Reason != reason {
		t.Fatalf("got %v; want %s with %s", err, kind, reason)
	}
	if e.Message == "" || strings.Contains(e.Message, "crm") {
		t.Errorf("the caller is told %q", e.Message)
	}
}

// eventually polls, with a deadline.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	patience.Until(t, what, f)
}
