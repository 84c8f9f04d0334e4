package doctor_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// vaulted is a broker's file whose store is a real Vault.
type vaulted struct {
	*world
	*stack.VaultServer
	file                  broker.Config
	mount, policy, logins string
}

func startVaulted(t *testing.T, v *stack.VaultServer) *vaulted {
	t.Helper()
	w := start(t)
	f := &vaulted{world: w, VaultServer: v, mount: v.KV(t), logins: v.Auth(t, "jwt")}
	f.policy = v.Policy(t, f.rules(`"read"`))
	v.Call(t, http.MethodPost, "auth/"+f.logins+"/config", map[string]any{"jwt_validation_pubkeys": publicKeys(t, w.Broker.Domain)})
	f.role(t, "broker", nil)
	v.Call(t, http.MethodPost, f.mount+"/data/intercom/crm/login", map[string]any{"data": map[string]string{"password": "s3cret"}})
	f.file = broker.Config{
		Version: 1, Identity: broker.Identity{Socket: "unix://" + w.Broker.Dir + "/b.sock"}, UpstreamCA: w.keycloak.CACert,
		Services: filepath.Join(w.Broker.Dir, "services"),
		Issuers:  []broker.OpenIDIssuer{{URL: parse(t, w.issuer()), CA: w.keycloak.CACert, Audience: []string{"intercom"}}},
		Store:    broker.Store{Vault: &broker.Vault{Address: parse(t, v.Addr), CA: v.CACert, Mount: f.mount, Auth: broker.VaultAuth{Mount: f.logins, Role: "broker"}}},
	}
	return f
}

// rules are what doctor asks for: to read below the prefix, and to see what is there.
func (f *vaulted) rules(can string) string {
	return fmt.Sprintf("path \"%s/data/intercom/*\" { capabilities = [%s] }\npath \"%s/metadata/intercom/*\" { capabilities = [\"read\"] }", f.mount, can, f.mount)
}

func (f *vaulted) role(t *testing.T, name string, changes map[string]any) {
	t.Helper()
	role := map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_subject": f.Broker.ID("/broker").String(), "bound_audiences": f.Addr, "token_policies": f.policy, "token_ttl": 3600,
	}
	for key, value := range changes {
		role[key] = value
	}
	f.Call(t, http.MethodPost, "auth/"+f.logins+"/role/"+name, role)
}

func publicKeys(t *testing.T, d *embedded.Domain) (pems []string) {
	t.Helper()
	for _, key := range d.Bundle().JWTAuthorities() {
		der, err := x509.MarshalPKIXPublicKey(key)
		must(t, err)
		pems = append(pems, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	return pems
}

func parse(t *testing.T, text string) strict.URL {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	return strict.URL{URL: *u}
}

// look examines the broker alone, with a file of which a copy was changed.
func (f *vaulted) look(t *testing.T, change func(*broker.Config)) []doctor.Row {
	t.Helper()
	c, vault := f.file, *f.file.Store.Vault
	c.Store.Vault = &vault
	if change != nil {
		change(&c)
	}
	return doctor.Examine(t.Context(), doctor.Options{Broker: &c, BrokerFile: "broker.yaml", Timeout: patient})
}

// TestBroker has a broker's file with a real Vault behind it, and breaks it in one way at a time.
func TestBroker(t *testing.T) {
	f := startVaulted(t, stack.Vault(t))
	rows := f.look(t, nil)
	for _, check := range []string{"identity", "upstream", "issuers", "vault", "clock"} {
		if !(want{check: check, status: doctor.OK}).among(rows) {
			t.Errorf("%s is not ok", check)
		}
	}
	broken(t, rows, want{"vault", doctor.OK, "may read 1 credential", ""})
	f.role(t, "brief", map[string]any{"token_ttl": 5})
	f.role(t, "stranger", map[string]any{"bound_subject": "spiffe://intercom.test/other"})
	none := f.Policy(t, f.rules(`"list"`))
	f.role(t, "blind", map[string]any{"token_policies": none})
	f.role(t, "bare", map[string]any{"token_no_default_policy": true})
	elsewhere := t.TempDir()
	write(t, filepath.Join(elsewhere, "team.yaml"), "version: 1\nowner: test\nservices:\n"+
		"  crm: { upstream: \"http://192.0.2.1\", inject: { basic: { credential: crm/missing } } }\n")
	for name, c := range map[string]struct {
		change func(*broker.Config)
		want   want
		also   []string
	}{
		"nobody at the address": {func(c *broker.Config) { c.Store.Vault.Address = parse(t, "https://127.0.0.1:1") },
			want{"vault", doctor.Fail, "cannot be reached", "store.vault.address"}, nil},
		"an unknown authority": {func(c *broker.Config) { c.Store.Vault.CA = f.keycloak.CACert },
			want{"vault", doctor.Fail, "certificate", "store.vault.ca"}, nil},
		"a role of somebody else": {func(c *broker.Config) { c.Store.Vault.Auth.Role = "stranger" },
			want{"vault", doctor.Fail, "bound_subject", "store.vault.auth"}, nil},
		"another audience": {func(c *broker.Config) { c.Store.Vault.Auth.Audience = "else" },
			want{"vault", doctor.Fail, "bound_audiences", "store.vault.auth"}, nil},
		"a login of seconds": {func(c *broker.Config) { c.Store.Vault.Auth.Role = "brief" },
			want{"vault", doctor.Warn, "lasts 5s", "token_ttl"}, nil},
		"a login that may not read": {func(c *broker.Config) { c.Store.Vault.Auth.Role = "blind" },
			want{"vault", doctor.Fail, "crm/login the login may not read it", `path "` + f.mount + `/data/intercom/crm/login"`}, nil},
		"a login that cannot look": {func(c *broker.Config) { c.Store.Vault.Auth.Role = "bare" },
			want{"vault", doctor.Warn, "it lets us in", "default policy"}, nil},
		"a credential that is not there": {func(c *broker.Config) { c.Services = elsewhere },
			want{"vault", doctor.Fail, "crm/missing there is no such credential", ""}, []string{"upstream"}},
		"a stored credential in the clear": {func(c *broker.Config) { c.Services = elsewhere },
			want{"upstream", doctor.Fail, "in the clear", "https"}, []string{"vault"}},
		"another issuer": {func(c *broker.Config) {
			c.Issuers = []broker.OpenIDIssuer{{URL: parse(t, f.issuer()+"/"), CA: f.keycloak.CACert}}
		},
			want{"issuers", doctor.Fail, "says that it is", "issuers"}, nil},
		"an issuer of an unknown authority": {func(c *broker.Config) { c.Issuers = []broker.OpenIDIssuer{{URL: parse(t, f.issuer())}} },
			want{"issuers", doctor.Fail, "certificate", "ca"}, nil},
		"a partner that is not federated": {func(c *broker.Config) {
			c.Identity.Allow = []broker.TrustDomain{{TrustDomain: spiffeid.RequireTrustDomainFromString("partner.test")}}
		},
			want{"identity", doctor.Fail, "partner.test", "identity.allow"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, f.look(t, c.change), c.want, c.also...)
		})
	}
	t.Run("together with a gateway that wants another", func(t *testing.T) {
		c := f.file
		rows := f.examine(t, func(o *doctor.Options) {
			o.Broker, o.BrokerFile = &c, "broker.yaml"
			o.Gateway.Brokers.ID.ID = f.Broker.ID("/elsewhere")
		})
		broken(t, rows, want{"brokers-id", doctor.Fail, "is spiffe://intercom.test/broker", "brokers.id"}, "brokers", "policy")
		for i, r := range rows {
			if i > 0 && strings.HasSuffix(r.Of, "gateway.yaml") && rows[i-1].Of == "broker.yaml" {
				t.Error("the rows of the two are mixed")
			}
		}
	})
}

// TestSealedVault is of its own: it seals what others share.
func TestSealedVault(t *testing.T) {
	f := startVaulted(t, stack.StartVault(t, stack.VaultOptions{}))
	must(t, f.Seal(t.Context()))
	broken(t, f.look(t, nil), want{"vault", doctor.Fail, "sealed", "unseal"})
}

// TestStandbyVault: a standby is well and named, and one that has lost the active server is told from one that refuses us.
func TestStandbyVault(t *testing.T) {
	v := stack.StartVault(t, stack.VaultOptions{Persistent: true})
	f := startVaulted(t, v)
	standby := stack.StartVaultStandby(t, v)
	behind := func(c *broker.Config) {
		c.Store.Vault.Address, c.Store.Vault.CA, c.Store.Vault.Auth.Audience = parse(t, standby.Addr), standby.CACert, v.Addr
	}
	rows := f.look(t, behind)
	broken(t, rows, want{"vault", doctor.OK, standby.Addr + " is a standby", ""})
	if !(want{"vault", doctor.OK, "may read 1 credential", ""}).among(rows) {
		t.Error("a standby does not hand on what it is asked")
	}
	v.Kill()
	broken(t, f.look(t, behind), want{"vault", doctor.Fail, "knows no active server", "start the others"})
}
