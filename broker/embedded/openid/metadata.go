package openid

import (
	"net/http"

	"github.com/intercom-broker/intercom/broker/gateway/dpop"
)

// methods are the ways in which clients prove themselves, by their names in the metadata.
func methods() []string {
	return []string{"spiffe_jwt", "private_key_jwt", "client_secret_basic", "client_secret_post"}
}

// Metadata returns what /.well-known/openid-configuration says (OpenID Connect Discovery 1.0, section 3).
func (p *Provider) Metadata() map[string]any {
	return map[string]any{
		"issuer":                                           p.cfg.Issuer,
		"authorization_endpoint":                           p.URL(PathAuthorize),
		"token_endpoint":                                   p.URL(PathToken),
		"jwks_uri":                                         p.URL(PathJWKS),
		"userinfo_endpoint":                                p.URL(PathUserinfo),
		"end_session_endpoint":                             p.URL(PathLogout),
		"revocation_endpoint":                              p.URL(PathRevoke),
		"introspection_endpoint":                           p.URL(PathIntrospect),
		"pushed_authorization_request_endpoint":            p.URL(PathPAR),
		"require_pushed_authorization_requests":            p.cfg.RequirePAR,
		"authorization_response_iss_parameter_supported":   true,
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{"query"},
		"grant_types_supported":                            []string{"authorization_code", "refresh_token", grantExchange},
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            []string{p.cfg.Algorithm},
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_methods_supported":            methods(),
		"token_endpoint_auth_signing_alg_values_supported": []string{"ES256", "EdDSA", "RS256", "PS256"},
		"dpop_signing_alg_values_supported":                []string{dpop.Algorithm},
		"scopes_supported":                                 []string{"openid", "profile", "email", "groups"},
		"acr_values_supported":                             []string{acrPassword, acrAgain},
		"prompt_values_supported":                          []string{"none", "login", "select_account"},
		"backchannel_logout_supported":                     true,
		"backchannel_logout_session_supported":             true,
		"frontchannel_logout_supported":                    true,
		"frontchannel_logout_session_supported":            true,
	}
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, p.Metadata())
}
