package doctor

import (
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

// TestSetting: what Keycloak says of each, copied from it, leads to the setting that is meant.
func TestSetting(t *testing.T) {
	t.Parallel()
	g := &gatewayExam{Options: Options{Gateway: &gateway.Config{}}}
	for said, want := range map[string]string{
		"DPoP proof is missing":                                                              "provider.dpop: set it to true",
		"Pushed Authorization Request is only allowed.":                                      "provider.par: set it to true",
		"Parameter client_assertion_type is missing":                                         "provider.auth: write private_key_jwt or svid",
		"Invalid parameter: code challenge method is not matching the configured one":        ": set the PKCE method to S256",
		"Realm not enabled":                                                                  "provider.issuer: enable the realm",
		"Client is not allowed to initiate browser login with given response_type. Standard": "provider: look at the settings",
	} {
		at, cure := g.setting(said)
		if got := at.key + ": " + cure; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", said, got)
		}
	}
	g.Gateway.Provider.DPoP = true
	if at, cure := g.setting("DPoP proof is not active"); at.key != "provider.dpop" || !strings.Contains(cure, "clock") {
		t.Errorf("%v %s", at, cure)
	}
	off := fault.New(fault.Internal, "", "").Because(&provider.RefusedError{Status: 403, Code: "access_denied", Description: "Realm not enabled"})
	if !unknown(off) || unknown(nil) || unknown(fault.New(fault.InvalidGrant, provider.ReasonEnded, "")) {
		t.Error("a realm that is off says nothing of each request")
	}
}
