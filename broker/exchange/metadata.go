package exchange

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Metadata is what RFC 8414, section 2, and OpenID Connect Discovery 1.0, section 3, make known of us.
// Members that neither knows are to be ignored, so both get the same document.
//
// There is no authorization_endpoint, since nobody logs in here. response_types_supported must be there
// and have a member all the same: "none" is the registered one that promises nothing.
type Metadata struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
	Endpoints
	GrantTypes    []string `json:"grant_types_supported"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	// SigningAlgs has OpenID's name. Libraries read from it which algorithms to take from us.
	SigningAlgs []string `json:"id_token_signing_alg_values_supported"`
	// One way to authenticate for all endpoints.
	TokenAuth      []string `json:"token_endpoint_auth_methods_supported"`
	IntrospectAuth []string `json:"introspection_endpoint_auth_methods_supported"`
	RevokeAuth     []string `json:"revocation_endpoint_auth_methods_supported"`
	// IntrospectAlgs: RFC 9701, section 7.
	IntrospectAlgs []string `json:"introspection_signing_alg_values_supported"`
	// BoundTokens: RFC 8705, section 3.3.
	BoundTokens bool `json:"tls_client_certificate_bound_access_tokens"`
	// Aliases: RFC 8705, section 5.
	Aliases *Endpoints `json:"mtls_endpoint_aliases,omitempty"`
}

// Endpoints are where clients ask: RFC 8414, section 2.
type Endpoints struct {
	Token      string `json:"token_endpoint"`
	Introspect string `json:"introspection_endpoint"`
	Revoke     string `json:"revocation_endpoint"`
}

func endpointsAt(base string) Endpoints {
	return Endpoints{Token: base + pathToken, Introspect: base + pathIntrospect, Revoke: base + pathRevoke}
}

// The names of the ways in which clients prove who they are: RFC 8705, section 2.1.1, and
// draft-ietf-oauth-spiffe-client-auth. The same certificate has two names, since a client that knows
// no SPIFFE looks for the first. private_key_jwt is none of them: a JWT-SVID may come as its assertion, but
// a client cannot make one itself.
const (
	authTLS     = "tls_client_auth"
	authX509    = "spiffe_x509"
	authJWTSVID = "spiffe_jwt"
)

func (w *Web) document() Metadata {
	set, _ := w.Keys()
	base, algs, auth := strings.TrimSuffix(w.Issuer, "/"), algorithms(set), w.authMethods()
	m := Metadata{
		Issuer: w.Issuer, JWKSURI: base + pathJWKS, Endpoints: endpointsAt(base),
		GrantTypes: []string{GrantClientCredentials, GrantExchange}, ResponseTypes: []string{"none"}, SubjectTypes: []string{"public"},
		SigningAlgs: algs, IntrospectAlgs: algs, TokenAuth: auth, IntrospectAuth: auth, RevokeAuth: auth, BoundTokens: true,
	}
	if w.MTLS != "" {
		at := endpointsAt(strings.TrimSuffix(w.MTLS, "/") + basePath(w.Issuer))
		m.Aliases = &at
	}
	return m
}

func (w *Web) authMethods() []string {
	if w.Plaintext && w.MTLS == "" {
		return []string{authJWTSVID}
	}
	return []string{authTLS, authX509, authJWTSVID}
}

func (w *Web) metadata(rw http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(w.document())
	if err != nil {
		fault.WriteProblem(rw, err)
		return
	}
	serve(rw, r, "application/json", body, "")
}

// algorithms are those of the keys that are published: there may be two while replicas change over.
func algorithms(set []byte) []string {
	var keys struct {
		Keys []struct {
			Alg string `json:"alg"`
		} `json:"keys"`
	}
	_ = json.Unmarshal(set, &keys) // our own words; without keys there are no algorithms
	algs := []string{}
	for _, k := range keys.Keys {
		if k.Alg != "" {
			algs = append(algs, k.Alg)
		}
	}
	slices.Sort(algs)
	return slices.Compact(algs)
}
