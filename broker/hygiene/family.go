package hygiene

import "strings"

// isClosed reports whether a folded name is the connection's own, the caller's credential, or belongs to a
// family that proxies speak for. Fields that a browser or a framework adds about itself (Origin, Referer,
// Sec-Fetch-*) are not among them.
func isClosed(name string) bool {
	switch name {
	// The connection's own (RFC 9110, section 7.6.1) and the message's framing, which are made anew.
	case "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
		"content-length", "host", "expect":
		return true
	// What the caller is to us is nothing to the upstream.
	case "authorization", "cookie", "cookie2":
		return true
	// Where the request came from, by which scheme (RFC 7239 and its many forerunners).
	case "forwarded", "via", "client-ip", "true-client-ip", "fastly-client-ip", "fly-client-ip", "front-end-https":
		return true
	}
	word, rest, _ := strings.Cut(name, "-")
	switch word {
	case "x":
		return isClosedX(rest)
	case "proxy", "wl", // WebLogic's Wl-Proxy-*
		"intercom",   // ours
		"remote",     // Authelia's Remote-Groups; Remote-User and Remote-Addr are CGI's own (RFC 3875)
		"ssl",        // what TLS terminators say of the client's certificate
		"oidc",       // mod_auth_openidc: OIDC_CLAIM_sub, OIDC_access_token
		"sm", "shib", // SiteMinder, Shibboleth
		"tailscale", "teleport", // Tailscale-User-Login, Teleport-Jwt-Assertion
		"impersonate": // Kubernetes: with the rights of the credential that is put in, as whom the caller likes
		return true
	}
	return hasPrefix(name, "client-cert", // RFC 9440
		"cf-access-", "cf-connecting-") // Cloudflare; other Cf-* say nothing of who is asking
}

// isClosedX is isClosed for the names that begin with X-, without it.
func isClosedX(name string) bool {
	switch name {
	case "real-ip", "client-ip", "cluster-client-ip", "originating-ip", "azure-clientip", "azure-socketip",
		"host", "scheme", "url-scheme", "script-name", "method-override":
		return true
	case "userinfo", "endpoint-api-userinfo", "apigateway-api-userinfo", // APISIX and Kong, Google's gateways
		"anonymous-consumer": // Kong
		return true
	}
	word, _, _ := strings.Cut(name, "-")
	switch word {
	case "original", "rewrite", "envoy", "accel", "proxy", "arr", // paths and peers, as proxies rewrite them; ARR is IIS's
		"ssl", "tls", // as without the X-
		"remote",                           // Kubernetes' X-Remote-Group, X-Remote-Extra-*, and whoever copied it
		"user", "authenticated", "webauth", // gateways made by hand, after the handbooks; Grafana reads X-Webauth-User
		"auth",                   // oauth2-proxy's X-Auth-Request-*, Keycloak's gatekeeper; X-Auth-Token is a credential
		"consumer", "credential", // Kong
		"authentik", "pomerium", "appengine",
		"vault": // X-Vault-Token is a credential, X-Vault-Namespace gives the path another meaning
		return true
	}
	return hasPrefix(name, "forwarded", "http-method",
		"client-cert", "client-dn", "client-verify", // X-Client-Version and the like are an application's own
		"goog-authenticated-user", "goog-iap-", // other X-Goog-* are of Google's APIs, and part of what is signed
		"ms-client-principal",      // other X-Ms-* are of Azure's APIs
		"amzn-oidc-", "amzn-mtls-", // load balancers'; X-Amzn-Trace-Id is not, nor is X-Amz-*
		"token-") // claims, one by one, of a token that a gateway has verified; X-Token alone is an API key
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
