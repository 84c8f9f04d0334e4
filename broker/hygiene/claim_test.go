package hygiene_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

// TestClaim: who says who is asking, or that another thing is asked for, claims something. Proxies that ask whether a
// request may pass say what they say, and browsers as well.
func TestClaim(t *testing.T) {
	t.Parallel()
	for _, name := range strings.Fields(`X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token
		Remote-User Remote-Groups Remote_User X-Remote-User X-Auth-Request-User X-Auth-Request-Email X-Auth-User X-User X-User-Id X-Authenticated-User
		X-Webauth-User X-Http-Method-Override X-Http-Method X-Method-Override X-Rewrite-Url X-Original-User X-Authentik-Username Oidc-Claim-Sub OIDC_CLAIM_sub
		X-Consumer-Username X-Userinfo Impersonate-User Tailscale-User-Login Ssl-Client-S-Dn X-Ssl-Client-Cn X-Client-Dn Proxy X-Real_ip X_Forwarded_For
		X.Original.Url Cf-Access-Authenticated-User-Email X-Amzn-Oidc-Identity X-Goog-Authenticated-User-Email X-Ms-Client-Principal-Name Intercom-Decision X-Host`) {
		if hygiene.Claim(http.Header{"Accept": {"*/*"}, name: {"admin"}}) != name {
			t.Errorf("%s claims nothing", name)
		}
	}
	for party, names := range map[string]string{
		"nginx":         "Host Connection X-Forwarded-Method X-Forwarded-Uri X-Forwarded-Host X-Forwarded-For X-Forwarded-Proto",
		"ingress-nginx": "X-Original-Url X-Original-Method X-Sent-From X-Real-Ip X-Forwarded-For X-Auth-Request-Redirect X-Request-Id X-Scheme X-Forwarded-Scheme Ssl-Client-Verify Ssl-Client-Subject-Dn",
		"Traefik":       "X-Forwarded-Method X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Uri X-Forwarded-For X-Forwarded-Port X-Forwarded-Server X-Forwarded-Prefix X-Real-Ip X-Forwarded-Tls-Client-Cert",
		"Envoy":         "X-Envoy-Internal X-Envoy-Expected-Rq-Timeout-Ms X-Envoy-Original-Path X-Forwarded-Proto X-Forwarded-Client-Cert X-Request-Id X-B3-Traceid Content-Length",
		"Caddy":         "Via X-Forwarded-Method X-Forwarded-Uri X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host",
		"on the way":    "Forwarded Via Client-Ip Cf-Connecting-Ip Cf-Ray X-Amzn-Trace-Id X-Azure-Clientip Traceparent Proxy-Connection",
		"a browser":     "Accept Accept-Language Authorization Cookie Origin Referer Sec-Fetch-Mode Sec-Ch-Ua X-Csrf-Token X-Requested-With X-User-Agent X-Grpc-Web Upgrade Te X-Auth-Token X-Vault-Token X-Api-Key",
	} {
		for _, name := range strings.Fields(names) {
			if hygiene.Claim(http.Header{name: {"x"}}) != "" {
				t.Errorf("%s: %s is refused", party, name)
			}
		}
	}
}
