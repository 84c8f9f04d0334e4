package exchange

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Web answers on the web door: who we are, and the keys with which our tokens are verified.
type Web struct {
	// Issuer is our https URL; required.
	Issuer string
	// Keys returns our JWK set and its entity tag; required.
	Keys func() (set []byte, etag string)
	// DomainKeys returns the trust domain's JWT authorities as a plain JWK set, for who verifies JWT-SVIDs
	// and cannot read a SPIFFE bundle, such as Vault; nil means that there are none.
	DomainKeys func() ([]byte, error)
}

// maxAge is how long verifiers may keep what is read here; keys are published for as long before they sign.
const maxAge = "public, max-age=60"

// The paths of the keys, below the issuer's.
const (
	// DomainKeysPath serves the trust domain's JWT authorities.
	DomainKeysPath = "/.well-known/spiffe/jwks"
	pathJWKS       = "/oauth2/jwks"
)

// Metadata is what RFC 8414, section 2, and OpenID Connect Discovery 1.0, section 3, make known of us.
// Members that neither knows are to be ignored, so both get the same document.
//
// It names only what there is: keys. Tokens are had on the gRPC door, so there is no token_endpoint, and
// no grant for one. RFC 8414 wants a list without members left out, but it also gives an absent
// grant_types_supported the value ["authorization_code","implicit"], which would send clients to
// endpoints that do not exist: the empty list is the smaller fault. response_types_supported must be
// there and have a member: "none" is the registered one that promises nothing.
type Metadata struct {
	Issuer        string   `json:"issuer"`
	JWKSURI       string   `json:"jwks_uri"`
	GrantTypes    []string `json:"grant_types_supported"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	// SigningAlgs has OpenID's name. Libraries read from it which algorithms to take from us.
	SigningAlgs []string `json:"id_token_signing_alg_values_supported"`
	// BoundTokens: RFC 8705, section 3.3.
	BoundTokens bool `json:"tls_client_certificate_bound_access_tokens"`
}

// Mount adds the web door. The documents stand where the issuer's path puts them: after the well-known
// part for RFC 8414, section 3, before it for OpenID, section 4.
func (w *Web) Mount(mux *http.ServeMux) {
	base := w.base()
	for _, path := range slices.Compact([]string{
		"/.well-known/oauth-authorization-server" + base,
		"/.well-known/openid-configuration" + base,
		base + "/.well-known/openid-configuration",
	}) {
		mux.HandleFunc("GET "+path, w.metadata)
	}
	mux.HandleFunc("GET "+base+pathJWKS, w.jwks)
	if w.DomainKeys != nil {
		mux.HandleFunc("GET "+base+DomainKeysPath, w.domainJWKS)
	}
}

// base is the issuer's path without its last slash.
func (w *Web) base() string {
	u, err := url.Parse(w.Issuer)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Path, "/")
}

func (w *Web) metadata(rw http.ResponseWriter, r *http.Request) {
	set, _ := w.Keys()
	body, err := json.Marshal(Metadata{
		Issuer: w.Issuer, JWKSURI: strings.TrimSuffix(w.Issuer, "/") + pathJWKS, GrantTypes: []string{}, ResponseTypes: []string{"none"},
		SubjectTypes: []string{"public"}, SigningAlgs: algorithms(set), BoundTokens: true,
	})
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

func (w *Web) jwks(rw http.ResponseWriter, r *http.Request) {
	set, etag := w.Keys()
	serve(rw, r, "application/jwk-set+json", set, etag)
}

func (w *Web) domainJWKS(rw http.ResponseWriter, r *http.Request) {
	set, err := w.DomainKeys()
	if err != nil {
		fault.WriteProblem(rw, fault.New(fault.Unavailable, "BUNDLE_UNAVAILABLE", "the trust domain's keys are not known yet").Because(err))
		return
	}
	serve(rw, r, "application/jwk-set+json", set, "")
}

// serve answers conditional requests and HEAD as well.
func serve(rw http.ResponseWriter, r *http.Request, contentType string, body []byte, etag string) {
	h := rw.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", maxAge)
	h.Set("X-Content-Type-Options", "nosniff")
	if etag != "" {
		h.Set("ETag", etag)
	}
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(body))
}
