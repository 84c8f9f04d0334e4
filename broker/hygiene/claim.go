package hygiene

import (
	"net/http"
	"strings"
)

// Claim returns the name of a field by which an application that believes it takes the caller for somebody else, or the
// request for another one, and that nothing between a browser and us says by itself; empty where there is none. It is
// for those who judge a request that others carry: what they do not forward they cannot leave out either.
//
// Its families are those that [ForwardHeaders] leaves out. Not among them are what proxies say of a request when they
// ask about it (ingress-nginx, Traefik, Envoy, Caddy), what load balancers and browsers add, and credentials, which
// prove themselves: whoever carries the request sets or clears these.
func Claim(h http.Header) string {
	for name := range h {
		// Another spelling of what is said is a claim: whoever clears X-Real-Ip leaves X_Real_Ip as it is.
		if !travels(name) && !isSaid(strings.ToLower(name)) {
			return name
		}
	}
	return ""
}

// isSaid reports whether a name in lower case, which does not travel, comes without anybody's claiming anything by it.
func isSaid(name string) bool {
	switch name {
	case "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "content-length",
		"host", "expect", "proxy-connection":
		return true
	case "authorization", "proxy-authorization", "cookie", "cookie2", "x-auth-token":
		return true
	// Where the request came from, by which scheme.
	case "forwarded", "via", "client-ip", "true-client-ip", "fastly-client-ip", "fly-client-ip", "front-end-https",
		"x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-originating-ip", "x-azure-clientip", "x-azure-socketip",
		"x-scheme", "x-url-scheme",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-protocol",
		"x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-server", "x-forwarded-by", "x-forwarded-prefix",
		"x-forwarded-client-cert", "x-forwarded-tls-client-cert", "x-forwarded-tls-client-cert-info":
		return true
	// What was asked for. X-Original-* are ingress-nginx' and Azure's.
	case "x-forwarded-method", "x-forwarded-uri", "x-original-method", "x-original-uri", "x-original-url",
		"x-original-host", "x-original-forwarded-for", "x-auth-request-redirect":
		return true
	case "ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn", "ssl-client-cert": // ingress-nginx
		return true
	case "x-user-agent": // gRPC-Web's
		return true
	}
	return hasPrefix(name, "x-envoy-", "x-arr-", "cf-connecting-", "x-vault-")
}
