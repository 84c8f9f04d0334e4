package providersuite

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// services: each gets a token of its own, or the user a refusal that says why there is none.
func (w *World) services(t *testing.T) {
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	if w.driver.NoExchange {
		alice.noToken("/orders/1", "orders")
		alice.noToken("/files/1", "files")
		return
	}
	minted := alice.Fetch(http.MethodGet, "/orders/1").Claims(t)
	if actor, _ := minted["act"].(map[string]any); minted["aud"] != "orders" || minted["iss"] != w.Broker.Issuer || actor["sub"] != w.Broker.ID("/gateway").String() {
		t.Errorf("what the broker mints: %v", minted)
	}
	if got := alice.Fetch(http.MethodGet, "/files/1").Claims(t); got["aud"] != "files" || got["iss"] != w.Provider.Issuer || got["azp"] != w.Provider.ClientID {
		t.Errorf("what the provider exchanges: %v", got)
	}
}

// noToken expects that a service cannot be had, in a code for scripts, in words for people, and without the loss of the
// session.
func (p *Person) noToken(path, audience string) {
	p.t.Helper()
	res := p.Fetch(http.MethodGet, path)
	var problem struct{ Code, Reason, Audience, Detail string }
	must(p.t, json.Unmarshal([]byte(res.Text), &problem))
	if res.StatusCode != http.StatusBadGateway || problem.Code != "token_exchange_failed" || problem.Audience != audience ||
		problem.Reason != "token_exchange_unsupported" || !strings.Contains(problem.Detail, "does not exchange tokens") {
		p.t.Errorf("%s %s", res.Status, res.Text)
	}
	page := p.Navigate(path)
	if page.StatusCode != http.StatusBadGateway || !strings.Contains(page.Text, "token_exchange_failed") || !strings.Contains(page.Text, "another try will not help") {
		p.t.Errorf("%s %s", page.Status, page.Text)
	}
	if !p.State().Authenticated {
		p.t.Error("the session is lost")
	}
}
