package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
)

// TestLogin: to the provider and back over TLS, and out again; the pages of our own say what they must.
func TestLogin(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.person(t, 0)
	alice.login("alice")
	id := alice.session()
	if id == "" {
		t.Fatal("there is no session")
	}
	out := alice.fetch(http.MethodPost, "/bff/logout", bff.HeaderCSRF+": "+bff.CSRFToken([]byte(id)))
	var said struct {
		LogoutURL string `json:"logout_url"`
	}
	if err := json.Unmarshal([]byte(out.text), &said); err != nil || !strings.HasPrefix(said.LogoutURL, w.idp.Issuer()) {
		t.Errorf("logout: %d %s", out.StatusCode, out.text)
	}
	if alice.session() != "" {
		t.Error("the cookie outlives the session")
	}
}
