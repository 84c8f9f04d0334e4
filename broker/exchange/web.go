package exchange

import (
	"bytes"
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
	// Plaintext: TLS ends before us, so that no certificate counts here.
	Plaintext bool
	// MTLS is the https origin at which clients with certificates reach this door, or another replica's;
	// empty means that it is the issuer's own.
	MTLS string
}

// maxAge is how long verifiers may keep what is read here; keys are published for as long before they sign.
const maxAge = "public, max-age=60"

// The paths of the keys, below the issuer's.
const (
	// DomainKeysPath serves the trust domain's JWT authorities.
	DomainKeysPath = "/.well-known/spiffe/jwks"
	pathJWKS       = "/oauth2/jwks"
)

// Mount adds the web door. The documents stand where the issuer's path puts them: after the well-known
// part for RFC 8414, section 3, before it for OpenID, section 4.
func (w *Web) Mount(mux *http.ServeMux) {
	base := basePath(w.Issuer)
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

// basePath is the issuer's path without its last slash.
func basePath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Path, "/")
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
