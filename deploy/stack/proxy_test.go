package stack_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// says is a site that answers text.
func says(text string) func(ports []int) string {
	return func(ports []int) string {
		return fmt.Sprintf("server { listen 127.0.0.1:%d; return 200 %q; }", ports[0], text)
	}
}

func body(t *testing.T, p *stack.ProxyServer) string {
	t.Helper()
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNginx(t *testing.T) {
	var port []int
	p := stack.StartNginx(t, 1, func(ports []int) string { port = ports; return says("one")(ports) })
	if got := body(t, p); got != "one" {
		t.Errorf("%q", got)
	}
	p.Reload(t, says("two")(port))
	for end := time.Now().Add(30 * time.Second); body(t, p) != "two"; {
		if time.Now().After(end) {
			t.Fatal("it answers as before the reload")
		}
	}
}

func TestEnvoy(t *testing.T) {
	const config = `static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: PORT } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: x
          route_config: { virtual_hosts: [{ name: x, domains: ["*"], routes: [{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: one } } }] }] }
          http_filters: [{ name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }]
`
	p := stack.StartEnvoy(t, 1, func(ports []int) string { return strings.ReplaceAll(config, "PORT", fmt.Sprint(ports[0])) })
	if got := body(t, p); got != "one" {
		t.Errorf("%q", got)
	}
}
