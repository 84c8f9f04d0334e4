package vault_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestExamine looks at a login from beside, and reads nothing.
func TestExamine(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	f.role(t, "broker", map[string]any{"token_ttl": 600})
	s := open(t, f.config(t))
	write(t, s, "crm/login")

	token, err := s.Token(t.Context())
	if err != nil || token.Life != 10*time.Minute || token.Left <= 0 || token.Left > token.Life || !token.Renewable || !slices.Contains(token.Policies, f.policy) {
		t.Errorf("%+v, %v", token, err)
	}
	for name, want := range map[credential.Name]bool{"crm/login": true, "crm/other": false} {
		if got, err := s.Exists(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	f.Call(t, http.MethodPut, "sys/policies/acl/"+f.policy, map[string]any{"policy": strings.ReplaceAll(rulesBelow(f.kv, "crm/"), `"read", `, "") +
		"\n" + rulesBelow(f.kv, "hr/")})
	denied, err := s.Unreadable(t.Context(), "crm/login", "hr/login", "else/where")
	if diff := cmp.Diff([]credential.Name{"crm/login", "else/where"}, denied); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if denied, err := s.Unreadable(t.Context()); err != nil || denied != nil {
		t.Errorf("no names: %v, %v", denied, err)
	}
	if _, err := s.Unreadable(t.Context(), "../up"); err == nil {
		t.Error("a name that is none was asked about")
	}
}

// TestHealth: what everybody may ask is answered whatever the state, and without a login.
func TestHealth(t *testing.T) {
	v := stack.StartVault(t, stack.VaultOptions{})
	f := setUp(t, v)
	cfg := f.config(t)
	cfg.Identity = nobody{}
	s := open(t, cfg)
	h, err := s.Health(t.Context())
	if err != nil || !h.Initialized || h.Sealed || h.Version == "" || time.Since(time.Unix(h.Clock, 0)).Abs() > time.Minute {
		t.Errorf("%+v, %v", h, err)
	}
	if err := v.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, err = s.Health(t.Context()); err != nil || !h.Sealed {
		t.Errorf("sealed: %+v, %v", h, err)
	}
	if err := v.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Health(t.Context()); fault.From(err).Reason != vault.ReasonUnreachable {
		t.Errorf("gone: %v", err)
	}
}
