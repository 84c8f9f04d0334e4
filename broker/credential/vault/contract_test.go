package vault_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/credentialtest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestContract gives each store a mount of its own, and logs in by JWT-SVID.
func TestContract(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	credentialtest.Run(t, func(t *testing.T) credential.Store {
		cfg := f.config(t)
		cfg.Mount = f.KV(t)
		f.Call(t, http.MethodPut, "sys/policies/acl/"+f.policy, map[string]any{"policy": rules(cfg.Mount)})
		return open(t, cfg)
	})
}

// TestContractWithPrefix gives each store a folder of one mount, and no right to anything beside it. The
// mount requires check-and-set, and logins are by certificate.
func TestContractWithPrefix(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	f.Call(t, http.MethodPost, f.kv+"/config", map[string]any{"cas_required": true})
	var stores atomic.Int32
	credentialtest.Run(t, func(t *testing.T) credential.Store {
		cfg := f.certConfig(t)
		cfg.Prefix = credential.Name(fmt.Sprintf("brokers/%d", stores.Add(1)))
		f.Call(t, http.MethodPut, "sys/policies/acl/"+f.policy, map[string]any{"policy": rulesBelow(f.kv, string(cfg.Prefix)+"/")})
		return open(t, cfg)
	})
}

// put writes fields as somebody else would.
func (f *fixture) put(t *testing.T, path string, fields map[string]any) {
	t.Helper()
	f.Call(t, http.MethodPost, f.kv+"/data/"+path, map[string]any{"data": fields})
}

func TestForeignFields(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	s := open(t, f.config(t))
	f.put(t, "crm/login", map[string]any{
		"text": "a", "number": 1234567890, "flag": true, "none": nil, "list": []int{1},
		"object": map[string]any{"k": "v"}, "bytes": map[string]any{"base64": "/wA="}, "lookalike": map[string]any{"base64": "?"},
	})
	got, err := s.Read(t.Context(), "crm/login")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"text": "a", "number": "1234567890", "flag": "true", "none": "", "list": "[1]",
		"object": `{"k":"v"}`, "bytes": "\xff\x00", "lookalike": `{"base64":"?"}`,
	} {
		if value, ok := got.Fields[name]; !ok || string(value.Reveal()) != want {
			t.Errorf("%s: got %q, want %q", name, value.Reveal(), want)
		}
	}
}

// TestOurFieldsAreReadable looks at what others see of a credential that we write.
func TestOurFieldsAreReadable(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	write(t, open(t, f.config(t)), "crm/login")
	got := f.Call(t, http.MethodGet, f.kv+"/data/crm/login", nil)
	if data, _ := got["data"].(map[string]any)["data"].(map[string]any); data["password"] != planted {
		t.Errorf("in Vault stands %v", data)
	}
}

func TestForeignVersions(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	s := open(t, f.config(t))
	write(t, s, "crm/login")
	f.put(t, "crm/login", map[string]any{"password": "changed"})
	if got, err := s.Read(t.Context(), "crm/login"); err != nil || got.Version != 2 {
		t.Errorf("after a foreign write: version %d, %v", got.Version, err)
	}
	f.Call(t, http.MethodDelete, f.kv+"/data/crm/login", nil)
	if _, err := s.Read(t.Context(), "crm/login"); err == nil {
		t.Error("a deleted version is read")
	}
	if n, err := s.Write(t.Context(), "crm/login", login()); err != nil || n != 3 {
		t.Errorf("a write over a deleted version: version %d, %v", n, err)
	}
	f.Call(t, http.MethodPost, f.kv+"/destroy/crm/login", map[string]any{"versions": []int{3}})
	if _, err := s.Read(t.Context(), "crm/login"); err == nil {
		t.Error("a destroyed version is read")
	}
}

func TestVersionsThatEnd(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	f.Call(t, http.MethodPost, f.kv+"/config", map[string]any{"delete_version_after": "1h"})
	s := open(t, f.config(t))
	write(t, s, "crm/login")
	got, err := s.Read(t.Context(), "crm/login")
	if left := time.Until(got.NotAfter); err != nil || left < 55*time.Minute || left > 65*time.Minute {
		t.Errorf("ends in %s, %v", left, err)
	}
}

func TestForeignNamesAreNotListed(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	s := open(t, f.config(t))
	f.put(t, "CRM/login", map[string]any{"k": "v"})
	f.put(t, "crm/With Space", map[string]any{"k": "v"})
	f.put(t, "crm/login", map[string]any{"k": "v"})
	names, err := s.List(t.Context(), "")
	if err != nil || len(names) != 1 || names[0] != "crm/login" {
		t.Errorf("listed %q, %v", names, err)
	}
}
