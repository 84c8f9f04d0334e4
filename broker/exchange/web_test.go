package exchange_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/exchange"
)

const (
	ourKeys    = `{"keys":[{"kid":"1","alg":"ES256"},{"kid":"2","alg":"EdDSA"},{"kid":"3","alg":"ES256"}]}`
	domainKeys = `{"keys":[{"kid":"spire"}]}`
)

// webDoor serves a Web whose issuer is the server's own URL and path.
func webDoor(t *testing.T, path string, web exchange.Web) (issuer string, get func(path string, header ...string) *http.Response) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	web.Issuer = server.URL + path
	web.Keys = func() ([]byte, string) { return []byte(ourKeys), `"tag"` }
	web.Mount(mux)
	return web.Issuer, func(path string, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestMetadata holds the document whole: a member too many is a promise that nobody keeps.
func TestMetadata(t *testing.T) {
	for _, path := range []string{"", "/base"} {
		issuer, get := webDoor(t, path, exchange.Web{})
		methods := []any{"tls_client_auth", "spiffe_x509", "spiffe_jwt"}
		want := map[string]any{
			"issuer": issuer, "jwks_uri": issuer + "/oauth2/jwks", "token_endpoint": issuer + "/oauth2/token",
			"introspection_endpoint": issuer + "/oauth2/introspect", "revocation_endpoint": issuer + "/oauth2/revoke",
			"token_endpoint_auth_methods_supported": methods, "introspection_endpoint_auth_methods_supported": methods,
			"revocation_endpoint_auth_methods_supported": methods,
			"grant_types_supported":                      []any{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
			"response_types_supported":                   []any{"none"}, "subject_types_supported": []any{"public"},
			"id_token_signing_alg_values_supported":      []any{"ES256", "EdDSA"},
			"introspection_signing_alg_values_supported": []any{"ES256", "EdDSA"},
			"tls_client_certificate_bound_access_tokens": true,
		}
		for _, at := range []string{
			"/.well-known/oauth-authorization-server" + path, // RFC 8414, section 3
			"/.well-known/openid-configuration" + path,       // RFC 8414, section 5
			path + "/.well-known/openid-configuration",       // OpenID Connect Discovery 1.0, section 4
		} {
			r := get(at)
			var got map[string]any
			if err := json.Unmarshal([]byte(body(t, r)), &got); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			if diff := cmp.Diff(want, got); diff != "" || r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s %s\n%s", at, r.Status, r.Header.Get("Content-Type"), diff)
			}
			uri, _ := got["jwks_uri"].(string)
			if keys := get(uri[len(issuer)-len(path):]); body(t, keys) != ourKeys {
				t.Errorf("%s: no keys at %s", at, uri)
			}
		}
	}
}

// TestMetadataWhereTLSEndsBefore names certificates only where there is a way for them.
func TestMetadataWhereTLSEndsBefore(t *testing.T) {
	for mtls, want := range map[string]string{
		"": `["spiffe_jwt"]`, "https://mtls.test:8445": `["tls_client_auth","spiffe_x509","spiffe_jwt"]`, "https://mtls.test:8445/": `["tls_client_auth","spiffe_x509","spiffe_jwt"]`,
	} {
		_, get := webDoor(t, "/base", exchange.Web{Plaintext: true, MTLS: mtls})
		var got struct {
			Methods json.RawMessage   `json:"token_endpoint_auth_methods_supported"`
			Aliases map[string]string `json:"mtls_endpoint_aliases"`
		}
		if err := json.Unmarshal([]byte(body(t, get("/base/.well-known/openid-configuration"))), &got); err != nil {
			t.Fatal(err)
		}
		var aliases map[string]string
		if mtls != "" {
			at := "https://mtls.test:8445/base/oauth2/"
			aliases = map[string]string{"token_endpoint": at + "token", "introspection_endpoint": at + "introspect", "revocation_endpoint": at + "revoke"}
		}
		if diff := cmp.Diff(aliases, got.Aliases); diff != "" || string(got.Methods) != want {
			t.Errorf("%q: %s\n%s", mtls, got.Methods, diff)
		}
	}
}

func TestKeys(t *testing.T) {
	_, get := webDoor(t, "", exchange.Web{DomainKeys: func() ([]byte, error) { return []byte(domainKeys), nil }})
	for path, want := range map[string]string{"/oauth2/jwks": ourKeys, "/.well-known/spiffe/jwks": domainKeys} {
		r := get(path)
		got := []string{body(t, r), r.Header.Get("Cache-Control"), r.Header.Get("Content-Type"), r.Header.Get("X-Content-Type-Options")}
		if diff := cmp.Diff([]string{want, "public, max-age=60", "application/jwk-set+json", "nosniff"}, got); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
	if r := get("/oauth2/jwks", "If-None-Match", `"tag"`); r.StatusCode != http.StatusNotModified {
		t.Errorf("asked again with the tag: %s", r.Status)
	}
	if r := get("/oauth2/jwks", "If-None-Match", `"old"`); r.StatusCode != http.StatusOK || r.Header.Get("ETag") != `"tag"` {
		t.Errorf("asked again with an old tag: %s, ETag %s", r.Status, r.Header.Get("ETag"))
	}
}

func TestDomainKeysThatAreNotKnownYet(t *testing.T) {
	_, get := webDoor(t, "", exchange.Web{DomainKeys: func() ([]byte, error) { return nil, errors.New("planted cause") }})
	r := get("/.well-known/spiffe/jwks")
	var problem struct{ Code, Detail string }
	if err := json.Unmarshal([]byte(body(t, r)), &problem); err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || r.Header.Get("Cache-Control") != "no-store" ||
		problem.Code != "BUNDLE_UNAVAILABLE" || problem.Detail != "the trust domain's keys are not known yet" {
		t.Errorf("%s %v %+v", r.Status, r.Header, problem)
	}
	_, get = webDoor(t, "", exchange.Web{})
	if r := get("/.well-known/spiffe/jwks"); r.StatusCode != http.StatusNotFound {
		t.Errorf("without a trust domain: %s", r.Status)
	}
}
