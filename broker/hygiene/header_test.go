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
		"Grpc-Timeout", "Grpc-Encoding", "Mcp-Session-Id", "Sec-Websocket-Key", "X-User-Id", "X-Api-Key", "X-Requested-With", "Depth", "Destination"}
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
	for _, name := range []string{"X-User-Id", "x_user.id", "X-Forwarded-For", "X_FORWARDED_PROTO", "connection", "Content.Length", "A b", "", "Te"} {
		f.Add(name, "x-hop, te", "v")
	}
	f.Fuzz(func(t *testing.T, name, connection, value string) {
		src := http.Header{name: {value}, "Connection": {connection}}
		for got := range forward(src, "X-User-Id") {
			cgi := strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(got))
			switch {
			case cgi == "X_USER_ID", cgi == "CONNECTION", cgi == "CONTENT_LENGTH", cgi == "TRANSFER_ENCODING", cgi == "HOST", cgi == "AUTHORIZATION", cgi == "COOKIE",
				strings.HasPrefix(cgi, "X_FORWARDED"), strings.HasPrefix(cgi, "PROXY_"), strings.Trim(cgi, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "":
				t.Errorf("%q came through as %q", name, got)
			}
		}
	})
}
