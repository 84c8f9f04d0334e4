package stack_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestKeycloakWithARealm(t *testing.T) {
	began := time.Now()
	k := stack.Keycloak(t, "testdata/realm.json")
	t.Logf("ready after %s", time.Since(began))
	if again := stack.Keycloak(t, "testdata/realm.json"); again.Addr != k.Addr {
		t.Errorf("two servers in one process: %s and %s", k.Addr, again.Addr)
	}
	login := url.Values{"grant_type": {"password"}, "client_id": {"cli"}, "username": {"alice"}, "password": {"alice"}, "scope": {"openid"}}
	answer, err := k.Token(t.Context(), "demo", login)
	if err != nil || answer["access_token"] == nil || answer["id_token"] == nil {
		t.Fatalf("%v, %v", answer, err)
	}
	login.Set("password", "bob")
	if _, err := k.Token(t.Context(), "demo", login); err == nil {
		t.Error("a token for a wrong password")
	}
	k.Call(t, http.MethodPost, "demo/groups", map[string]any{"name": "engineering"}, nil)
	var groups []struct{ Name string }
	k.Call(t, http.MethodGet, "demo/groups", nil, &groups)
	if len(groups) != 1 || groups[0].Name != "engineering" {
		t.Errorf("read back %+v", groups)
	}
	if err := k.Do(t.Context(), http.MethodGet, "nowhere", nil, nil); err == nil {
		t.Error("a realm that is none")
	}
}

// TestKeycloakStartsEmpty: what one server was told, the next does not know, and a stopped one leaves nothing.
func TestKeycloakStartsEmpty(t *testing.T) {
	stack.Keycloak(t, "testdata/realm.json") // where it is missing, that is said here
	k, err := stack.OpenKeycloak(t.Context(), stack.KeycloakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var realms []struct{ Realm string }
	k.Call(t, http.MethodGet, "", nil, &realms)
	if len(realms) != 1 || realms[0].Realm != "master" {
		t.Errorf("realms: %+v", realms)
	}
	pid, home, began := k.PID(), filepath.Dir(k.CACert), time.Now()
	if err := k.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("stopped in %s", time.Since(began))
	gone(t, pid)
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("files are left: %v", err)
	}
}

func TestKeycloakRefusesARealmThatIsNone(t *testing.T) {
	stack.Keycloak(t, "testdata/realm.json")
	if k, err := stack.OpenKeycloak(t.Context(), stack.KeycloakOptions{Realm: "testdata/nowhere.json"}); err == nil {
		t.Error(k.Stop())
	}
}
