package hygiene_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

func forward(src http.Header, managed ...string) http.Header {
	dst := http.Header{}
	hygiene.ForwardHeaders(dst, src, managed...)
	return dst
}

func TestForwardHeaders(t *testing.T) {
	travels := []string{"Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "If-None-Match", "Range", "User-Agent", "Origin", "Referer",
		"Cache-Control", "Idempotency-Key", "Soapaction", "Stripe-Version", "X-Tenant", "Tenant_id", "X.Trace.Id", "Traceparent", "Tracestate",
		"Grpc-Timeout", "Grpc-Encoding", "Mcp-Session-Id", "Sec-Websocket-Key", "X-Api-Key", "X-Requested-With", "Depth", "Destination",
		"X-Amz-Date", "X-Amzn-Trace-Id", "X-Goog-User-Project", "X-Goog-Api-Client", "X-Ms-Version", "X-Ms-Client-Request-Id", "X-Client-Version", "X-Request-Id", "X-Token",
		"X-Authority", "X-Usergroup", "Cf-Worker", "Small", "Sslmode", "Client-Id", "Authenticate-Me"}
	stays := []string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Content-Length", "Host", "Expect",
		"Proxy-Authorization", "Proxy-Connection", "Proxy-Anything", "Authorization", "Cookie", "Cookie2", "Forwarded", "Via", "X-Forwarded-For",
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-User", "X-Forwarded-Ssl", "X-Forwarded-Client-Cert",
		"X-Forwarded-Next-Year", "X-Real-Ip", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
		"Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-Ssl-Client-Cert", "Ssl-Client-Verify", "X-Remote-User", "Remote-User", "X-Envoy-Original-Path",
		"X-Auth-Request-Email", "X-Accel-Redirect", "Intercom-Decision", "True-Client-Ip", "Cf-Connecting-Ip",
		"X_forwarded_for", "X.Real.Ip", "x_Original-url", "Client_cert", "Proxy_authorization", "Remote_user", "Intercom_subject",
		"Strange!", "Star*", "Umläut", "", strings.Repeat("A", 129)}
	src := http.Header{}
	for _, name := range slices.Concat(travels, stays) {
		src[name] = []string{"v"}
	}
	want := http.Header{}
	for _, name := range travels {
		want[name] = []string{"v"}
	}
	if diff := cmp.Diff(want, forward(src)); diff != "" {
		t.Error(diff)
	}
}

// TestForwardHeadersClosesFamilies holds one line per party whose word a service takes for who is asking, from
// where, or on whose behalf.
func TestForwardHeadersClosesFamilies(t *testing.T) {
	for party, names := range map[string]string{
		"Authelia, and CGI's own":       "Remote-User Remote-Groups Remote-Email Remote-Name Remote-Addr Remote_user",
		"the same, marked":              "X-Remote-User X-Remote-Group X-Remote-Extra-Scopes X-Remote-Ip",
		"Google IAP and gateways":       "X-Goog-Authenticated-User-Email X-Goog-Authenticated-User-Id X-Goog-Iap-Jwt-Assertion X-Endpoint-Api-Userinfo X-Apigateway-Api-Userinfo",
		"App Engine":                    "X-Appengine-User-Ip X-Appengine-Inbound-Appid",
		"Azure":                         "X-Ms-Client-Principal X-Ms-Client-Principal-Name X-Ms-Client-Principal-Id X-Arr-Clientcert X-Arr-Ssl X-Azure-Clientip X-Azure-Socketip",
		"AWS load balancers":            "X-Amzn-Oidc-Data X-Amzn-Oidc-Identity X-Amzn-Oidc-Accesstoken X-Amzn-Mtls-Clientcert",
		"Cloudflare":                    "Cf-Access-Authenticated-User-Email Cf-Access-Jwt-Assertion Cf-Access-Client-Secret Cf-Connecting-Ip Cf-Connecting-Ipv6",
		"other edges":                   "Fastly-Client-Ip Fly-Client-Ip True-Client-Ip Wl-Proxy-Client-Ip X-Cluster-Client-Ip X-Client-Ip Client-Ip",
		"Tailscale, Teleport, Pomerium": "Tailscale-User-Login Tailscale-User-Name Teleport-Jwt-Assertion X-Pomerium-Jwt-Assertion X-Pomerium-Claim-Email",
		"Kong and APISIX":               "X-Consumer-Username X-Consumer-Custom-Id X-Consumer-Groups X-Credential-Identifier X-Anonymous-Consumer X-Userinfo",
		"Kubernetes and Vault":          "Impersonate-User Impersonate-Group Impersonate-Extra-Scopes X-Vault-Token X-Vault-Namespace",
		"mod_auth_openidc":              "Oidc-Claim-Sub Oidc_claim_sub OIDC_access_token Oidc.claim.email",
		"oauth2-proxy, gatekeepers":     "X-Auth-Request-User X-Auth-User X-Auth-Email X-Auth-Token X-Authentik-Username X-Token-Subject",
		"hand-made gateways":            "X-User X-User-Id X-User-Email X_user_roles X-Authenticated-User X-Authenticated-Userid X-Webauth-User X-Webauth-Email",
		"TLS terminators":               "Ssl-Client-Verify Ssl-Client-S-Dn Ssl_client_cert X-Ssl-Client-Cert X-Ssl-Anything X-Client-Cert X-Client-Certificate X-Client-Dn X-Client-Verify Client-Cert X-Tls-Version",
		"SiteMinder and Shibboleth":     "Sm-User Sm_user Sm-Universalid Shib-Session-Id Shib-Identity-Provider",
		"where the proxy stands":        "X-Scheme X-Url-Scheme Front-End-Https X-Script-Name X-Original-Host X-Host",
	} {
		for _, name := range strings.Fields(names) {
			if got := forward(http.Header{name: {"admin"}}); len(got) > 0 {
				t.Errorf("%s: %s travels", party, name)
			}
			twin := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
			if got := forward(http.Header{twin: {"admin"}}); len(got) > 0 {
				t.Errorf("%s: %s travels", party, twin)
			}
		}
	}
}

func TestForwardHeadersKeepsManagedNamesFree(t *testing.T) {
	src := http.Header{"X-Api-Key": {"1"}, "X_api_key": {"2"}, "X.Api-Key": {"3"}, "x-api-KEY": {"4"}, "X-Api-Keys": {"5"}}
	if diff := cmp.Diff(http.Header{"X-Api-Keys": {"5"}}, forward(src, "X-API-Key")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(http.Header{"X-Api-Keys": {"5"}}, forward(src, "Authorization", "X_Api_Key")); diff != "" {
		t.Error(diff)
	}
}

func TestForwardHeadersHonoursConnection(t *testing.T) {
	src := http.Header{"Connection": {"close, x-hop", " X-Other\t"}, "X-Hop": {"1"}, "X-Other": {"2"}, "X-End": {"3"}}
	if diff := cmp.Diff(http.Header{"X-End": {"3"}}, forward(src)); diff != "" {
		t.Error(diff)
	}
}

func TestForwardHeadersLetsTrailersBeAccepted(t *testing.T) {
	for te, want := range map[string]http.Header{"trailers": {"Te": {"trailers"}}, "gzip, trailers": {"Te": {"trailers"}}, "gzip": {}} {
		if diff := cmp.Diff(want, forward(http.Header{"Te": {te}})); diff != "" {
			t.Errorf("%s: %s", te, diff)
		}
	}
}

func TestForwardHeadersLeavesTheOriginalAlone(t *testing.T) {
	values := make([]string, 1, 4)
	values[0] = "a"
	src := http.Header{"X-A": values}
	dst := forward(src)
	dst.Add("X-A", "b")
	if got := values[:2][1]; got != "" {
		t.Errorf("the original's array holds %q", got)
	}
}

// FuzzForwardHeadersNeverLeaks holds that no spelling of a managed name, nor of one that speaks for a
// proxy, comes through: read as CGI reads it, the result has no such field.
func FuzzForwardHeadersNeverLeaks(f *testing.F) {
	for _, name := range []string{"X-Api-Key", "x_api.key", "X-Forwarded-For", "X_FORWARDED_PROTO", "connection", "Content.Length", "A b", "", "Te", "OIDC_CLAIM_sub", "remote_groups", "x.user"} {
		f.Add(name, "x-hop, te", "v")
	}
	f.Fuzz(func(t *testing.T, name, connection, value string) {
		src := http.Header{name: {value}, "Connection": {connection}}
		for got := range forward(src, "X-Api-Key") {
			cgi := strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(got))
			switch {
			case cgi == "X_API_KEY", cgi == "CONNECTION", cgi == "CONTENT_LENGTH", cgi == "TRANSFER_ENCODING", cgi == "HOST", cgi == "AUTHORIZATION", cgi == "COOKIE",
				strings.HasPrefix(cgi, "X_FORWARDED"), strings.HasPrefix(cgi, "PROXY_"), strings.HasPrefix(cgi, "REMOTE_"), strings.HasPrefix(cgi, "OIDC_"),
				strings.HasPrefix(cgi, "SSL_"), cgi == "X_USER", strings.HasPrefix(cgi, "X_USER_"), strings.Trim(cgi, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "":
				t.Errorf("%q came through as %q", name, got)
			}
		}
	})
}
