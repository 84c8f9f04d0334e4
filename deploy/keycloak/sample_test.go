package keycloak_test

import (
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestSampleFits: who copies the sample of a gateway's file and the realm has two that fit each other. That the scopes are
// known, and that the claims come, the logins of the other tests show: they are asked for as in the sample.
func TestSampleFits(t *testing.T) {
	c := sample(t)
	text, err := os.ReadFile("realm.json")
	must(t, err)
	var realm struct {
		Realm   string
		Clients []struct {
			ClientID, Secret, ClientAuthenticatorType string
			RedirectURIs                              []string
			Attributes                                map[string]string
			ProtocolMappers                           []struct{ Config map[string]string }
		}
	}
	must(t, json.Unmarshal(text, &realm))
	client, origin := realm.Clients[0], c.Origins[0]
	fits := func(what, sample, here string) {
		t.Helper()
		if sample != here {
			t.Errorf("%s: the sample has %q, and the realm %q", what, sample, here)
		}
	}
	fits("the realm", path.Base(c.Provider.Issuer), realm.Realm)
	fits("the client", c.Provider.ClientID, client.ClientID)
	fits("the callback", c.URL(origin, "/callback"), strings.Join(client.RedirectURIs, " "))
	fits("back from a logout", c.URL(origin, "/logout/return"), client.Attributes["post.logout.redirect.uris"])
	fits("the back-channel", c.URL(origin, "/backchannel-logout"), client.Attributes["backchannel.logout.url"])
	way := map[string]string{"": "secret", "client-secret": "secret", "client-jwt": "private_key_jwt", "federated-jwt": "svid"}
	fits("who we are", c.Provider.Auth, way[client.ClientAuthenticatorType])
	if len(c.Origins) > 1 || c.Provider.Secret.IsZero() != (client.Secret == "") {
		t.Error("more origins than the realm knows, or a secret that only one of the two has")
	}
	audiences, claims := []string{}, []string{}
	for _, m := range client.ProtocolMappers {
		audiences, claims = append(audiences, m.Config["included.client.audience"]), append(claims, m.Config["claim.name"])
	}
	if !slices.Contains(audiences, c.Brokers.Audience) || !slices.Contains(claims, c.Provider.Groups) {
		t.Errorf("no mapper for the audience %q, or none for the claim %q", c.Brokers.Audience, c.Provider.Groups)
	}
}
