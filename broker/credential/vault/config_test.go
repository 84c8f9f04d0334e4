package vault_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/embedded"
)

// nobodyButToken is an identity for tests that never reach a Vault.
func nobodyButToken(t *testing.T) vault.Identity {
	t.Helper()
	domain, err := embedded.New(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return domain.Source(domain.ID("/broker"))
}

func TestRefusedConfig(t *testing.T) {
	id := nobodyButToken(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const ok = "https://vault.internal:8200"
	for want, cfg := range map[string]vault.Config{
		"identity":                     {Address: ok},
		"want a URL such as https":     {Address: "vault.internal:8200", Identity: id},
		"want https":                   {Address: "ftp://vault.internal", Identity: id},
		"plain http to another host":   {Address: "http://vault.internal:8200", Identity: id},
		"http://127.0.0.1.evil.test":   {Address: "http://127.0.0.1.evil.test", Identity: id},
		"user:pw@":                     {Address: "https://user:pw@vault.internal", Identity: id},
		`method "token"`:               {Address: ok, Identity: id, Auth: vault.Auth{Method: "token"}},
		"needs an https address":       {Address: "http://127.0.0.1:8200", Identity: id, Auth: vault.Auth{Method: vault.Cert}},
		`mount "../sys"`:               {Address: ok, Identity: id, Mount: "../sys"},
		`mount "a//b"`:                 {Address: ok, Identity: id, Mount: "a//b"},
		`login mount "jwt/../token"`:   {Address: ok, Identity: id, Auth: vault.Auth{Mount: "jwt/../token"}},
		`"../x" is not a credential's`: {Address: ok, Identity: id, Prefix: "../x"},
		"no such file":                 {Address: ok, Identity: id, CACert: "/nowhere.pem"},
		"no PEM certificate":           {Address: ok, Identity: id, CACert: empty},
	} {
		s, err := vault.Open(t.Context(), cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: got %v", want, err)
		}
	}
}

// TestAcceptedAddresses only opens: nobody listens there.
func TestAcceptedAddresses(t *testing.T) {
	for _, cfg := range []vault.Config{
		{Address: "https://vault.internal:8200/"}, {Address: "https://vault.internal/behind/a/path"}, {Address: "http://[::1]:1"},
		{Address: "http://127.0.0.9:1"}, {Address: "http://localhost:1"}, {Address: "http://vault.internal:1", UnsafePlaintext: true},
	} {
		cfg.Identity, cfg.Timeout = nobodyButToken(t), 100*time.Millisecond
		s, err := vault.Open(t.Context(), cfg)
		if err != nil {
			t.Errorf("%s: %v", cfg.Address, err)
			continue
		}
		s.Close()
	}
}

// TestEnvironmentIsNotUsed plants every variable that would change a request. The server answers as Vault
// does, as far as one read needs.
func TestEnvironmentIsNotUsed(t *testing.T) {
	for name, value := range map[string]string{
		"VAULT_TOKEN": "hvs.planted", "VAULT_NAMESPACE": "planted", "VAULT_HEADERS": `{"Planted":"1"}`, "VAULT_ADDR": "http://127.0.0.1:1",
		"VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_WRAP_TTL": "5m", "VAULT_HTTP_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1",
		"VAULT_SKIP_VERIFY": "true", "VAULT_RATE_LIMIT": "0.001:1", "VAULT_MFA": "planted", "VAULT_CLIENT_TIMEOUT": "1ms",
	} {
		t.Setenv(name, value)
	}
	seen := make(chan http.Header, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		body := `{"data":{"data":{"password":"` + planted + `"},"metadata":{"version":7,"created_time":"2026-01-02T03:04:05Z","deletion_time":""}}}`
		if r.URL.Path == "/v1/auth/jwt/login" {
			body = `{"auth":{"client_token":"s.ours","lease_duration":3600,"renewable":true}}`
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	s := open(t, vault.Config{Address: srv.URL, Namespace: "team/a", Identity: nobodyButToken(t), Logger: logger(t)})
	reads(t, s, "crm/login")
	for _, token := range []string{"", "s.ours"} {
		h := <-seen
		if got := h.Get("X-Vault-Token"); got != token {
			t.Errorf("token %q, want %q", got, token)
		}
		if h.Get("X-Vault-Namespace") != "team/a" || h.Get("X-Vault-Request") != "true" || h.Get("Planted") != "" || h.Get("X-Vault-Wrap-Ttl") != "" {
			t.Errorf("headers %v", h)
		}
	}
}
