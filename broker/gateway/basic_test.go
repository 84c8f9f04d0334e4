package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/secret"
)

// portal is a service that knows users by Basic: their name, and one password for all.
type portal struct {
	*httptest.Server
	password atomic.Value
	users    chan string
}

func newPortal(t *testing.T) *portal {
	p := &portal{users: make(chan string, 10)}
	p.password.Store("key-1")
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if password != p.password.Load() {
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		p.users <- name
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *portal) file(claim string) string {
	return fmt.Sprintf(`  portal: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { bind: none },
    user: { basic: { claim: %s, credential: portal/api } }, match: /navigation.json }
`, p.URL, claim)
}

// TestBasicWithAClaim: the name is the user's own, the password is leased from the broker, and never the browser's.
func TestBasicWithAClaim(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	w := newWorld(t, options{more: p.file("name")})
	alice := w.person(t, 0)
	alice.Login("alice")
	res := alice.Fetch(http.MethodGet, "/navigation.json", "Authorization: Basic ZXZlOmtleS0x")
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, res.Text)
	}
	if name := <-p.users; name != "Alice Example" {
		t.Errorf("the portal knows her as %q", name)
	}
	bob := w.person(t, 0)
	bob.Login("bob") // who is not in staff
	if res := bob.Fetch(http.MethodGet, "/navigation.json"); res.StatusCode != http.StatusForbidden {
		t.Errorf("bob: %d %s", res.StatusCode, res.Text)
	}
}

// TestBasicAfterAChange: a password that is replaced at both ends is leased anew when the old one is not taken.
func TestBasicAfterAChange(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	w := newWorld(t, options{more: p.file("name")})
	alice := w.person(t, 0)
	alice.Login("alice")
	p.password.Store("key-2")
	if res := alice.Fetch(http.MethodGet, "/navigation.json"); res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("%d %s", res.StatusCode, res.Text)
	}
	_, err := w.Broker.Store.Write(t.Context(), credential.Name("portal/api"), credential.Fields{"password": secret.FromString("key-2")})
	must(t, err)
	gatewaytest.Eventually(t, "the new password is used", func() bool {
		return alice.Fetch(http.MethodGet, "/navigation.json").StatusCode == http.StatusOK
	})
}

// TestBasicWithoutTheClaim: where the login did not bring it, the mapper that is missing is named.
func TestBasicWithoutTheClaim(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	w := newWorld(t, options{more: p.file("nickname"), change: func(c *gateway.Config) { c.Provider.Claims = []string{"nickname"} }})
	alice := w.person(t, 0)
	alice.Login("alice")
	if res := alice.Fetch(http.MethodGet, "/navigation.json"); res.StatusCode != http.StatusBadGateway || !strings.Contains(res.Text, "no claim nickname") {
		t.Errorf("%d %s", res.StatusCode, res.Text)
	}
}

// TestBasicWithAClaimThatIsNotKept is refused at the start, with both places.
func TestBasicWithAClaimThatIsNotKept(t *testing.T) {
	t.Parallel()
	p := newPortal(t)
	w := newWorld(t, options{})
	cfg := w.config(t)
	cfg.Services = t.TempDir()
	must(t, os.WriteFile(cfg.Services+"/portal.yaml", []byte("version: 1\nowner: test\nservices:\n"+p.file("nickname")), 0o600))
	_, err := gateway.New(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "portal.yaml:4:3") || !strings.Contains(err.Error(), "add it to provider.claims") {
		t.Errorf("%v", err)
	}
}
