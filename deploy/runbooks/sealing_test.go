package runbooks_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

const (
	secondKey = "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3"
	thirdKey  = "7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e7e"
)

// tokenLife is that of this page's access tokens.
const tokenLife = 12 * time.Second

// TestSealingKeyRotated puts another key in the place of the one that seals: as it should be done, too early, at one gateway
// alone, unreadably, and outright.
func TestSealingKeyRotated(t *testing.T) {
	t.Parallel()
	page := open(t, "sealing-key-rotated.md")
	w := atOurs(t, one(stack.StartRedis(t, stack.RedisOptions{})), openid.Config{AccessLife: tokenLife})
	alice, idle := w.person(t).at(0).loggedIn(), w.named(t, "carol").at(0).loggedIn()

	well := &seen{}
	w.seals(t, "other sealing keys are in force", []string{firstKey, secondKey}, []string{firstKey, secondKey})
	w.seals(t, "other sealing keys are in force", []string{secondKey, firstKey}, []string{secondKey, firstKey})
	alice.at(1).fetches(well, "/files/1") // which knows her by what the first key sealed
	w.logs(well)
	w.intercom(t, well, "doctor --gateway gateway.yaml")
	page.holds("well", well)

	early := &seen{}
	w.refreshed(t, alice) // and so sealed by the second key
	w.seals(t, "other sealing keys are in force", []string{secondKey}, []string{secondKey})
	if !alice.at(0).works("/files/1") {
		t.Error("a session that the new key sealed is gone")
	}
	idle.at(1).fetches(early, "/files/1")
	w.logs(early)
	w.intercom(t, early, "doctor --gateway gateway.yaml")
	page.holds("early", early)

	alone := &seen{}
	w.seals(t, "other sealing keys are in force", []string{thirdKey, secondKey})
	alice.at(0).loggedIn()
	alice.at(1).fetches(alone, "/files/1")
	w.logs(alone)
	w.admin(t, alone, "/readyz")
	page.holds("alone", alone)
	w.seals(t, "other sealing keys are in force", nil, []string{secondKey, thirdKey})
	if !alice.works("/files/1") {
		t.Error("the session is not found again")
	}

	unreadable := &seen{}
	w.seals(t, "the sealing keys stay what they are", []string{"half a key"})
	if !alice.at(0).works("/files/1") {
		t.Error("a key that cannot be read logs users out")
	}
	w.logs(unreadable)
	w.intercom(t, unreadable, "doctor --gateway gateway.yaml")
	page.holds("unreadable", unreadable)

	outright := &seen{}
	alice.at(0).loggedIn()
	w.seals(t, "other sealing keys are in force", []string{firstKey}, []string{firstKey})
	alice.at(0).fetches(outright, "/bff/session")
	alice.at(1).fetches(outright, "/files/1")
	alice.at(0).fetches(outright, "/files/1")
	if alice.works("/files/1") {
		t.Error("a session is served from memory whose key was taken out")
	}
	page.holds("outright", outright)
}

// seals writes the gateways' files of keys, of which nil changes none, and waits until each has said what came of it.
func (w *world) seals(t *testing.T, says string, of ...[]string) {
	t.Helper()
	_, before := w.log.since(0)
	changed := 0
	for n, keys := range of {
		if keys != nil {
			changed++
			must(t, os.WriteFile(w.Gateways[n].Config.Sessions.Keys[0].Name, []byte(strings.Join(keys, "\n")+"\n"), 0o600))
		}
	}
	gatewaytest.Eventually(t, says, func() bool {
		lines, _ := w.log.since(before)
		return strings.Count(strings.Join(lines, "\n"), says) >= changed
	})
}

// refreshed waits until a service gets a token that the login's own could not have got any more.
func (w *world) refreshed(t *testing.T, p *person) {
	t.Helper()
	issued := func() (at float64) {
		var claims map[string]any
		if json.Unmarshal([]byte(p.fetches(&seen{}, "/files/1").Text), &claims) == nil {
			at, _ = claims["iat"].(float64)
		}
		return at
	}
	first := issued()
	gatewaytest.Eventually(t, "the tokens are refreshed", func() bool { return issued() > first+tokenLife.Seconds() })
}
