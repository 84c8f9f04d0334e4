package doctor

import (
	"errors"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

// setting is what a refusal is about that is not about the request, in the words of Keycloak, which has no codes for it: where
// the two sides are set up differently. said is all that it says.
func (g *gatewayExam) setting(said string) (at place, cure string) {
	switch {
	case strings.Contains(said, "DPoP") && g.Gateway.Provider.DPoP:
		return key("provider.dpop"), "compare the provider's clock and address with ours"
	case strings.Contains(said, "DPoP"):
		return key("provider.dpop"), "set it to true, or " + g.atClient("turn off Require DPoP bound tokens, among the capabilities")
	case strings.Contains(said, "Pushed Authorization Request"):
		return key("provider.par"), "set it to true"
	case strings.Contains(said, "client_assertion"):
		return key("provider.auth"), "write private_key_jwt or svid there, by which the client proves itself at the provider, or give it a secret there"
	case strings.Contains(said, "code challenge method"):
		return place{}, g.atClient("set the PKCE method to S256, among the advanced settings")
	case strings.Contains(said, "Realm not enabled"):
		return key("provider.issuer"), "enable the realm, or correct the issuer"
	}
	return key("provider"), g.atClient("look at the settings")
}

// unknown reports whether a trial of the client failed by who we are, or by what holds for whatever we ask: the same is said of
// each other request, and means nothing there.
func unknown(err error) bool {
	if err == nil {
		return false
	}
	switch fault.From(err).Reason {
	case provider.ReasonClient, provider.ReasonProof, reasonNoProof:
		return true
	}
	refused, ok := errors.AsType[*provider.RefusedError](err)
	return ok && says(refused, "Realm not enabled")
}
