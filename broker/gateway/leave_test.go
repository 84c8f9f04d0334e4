package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// ready is what a load balancer asks.
func (p *person) ready() int {
	p.t.Helper()
	return p.Do(http.MethodGet, "/bff/ready", nil).StatusCode
}

// TestLeave: a gateway that is asked to end says so to whoever chooses among gateways, and goes on to serve: each
// answer asks its connection to go, and streams stay. Only then it takes nobody new.
func TestLeave(t *testing.T) {
	t.Parallel()
	const drain = 4 * time.Second
	var log bytes.Buffer // which is read when nobody writes any more
	w := newWorld(t, options{change: func(c *gateway.Config) { c.Drain, c.LogOutput = strict.Duration(drain), &log }})
	alice, g := w.person(t, 0), w.Gateways[0]
	alice.Login("alice")
	stream := alice.stream("/orders/stream")
	if alice.ready() != http.StatusOK {
		t.Error("it is not ready")
	}
	plain := alice.at(0) // without HTTP/2
	plain.HTTP.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	if plain.Fetch(http.MethodGet, "/orders/1").Close {
		t.Error("an answer asks its connection to go before there is a reason")
	}
	began := time.Now()
	g.Leave()
	gatewaytest.Eventually(t, "a load balancer is told", func() bool { return plain.ready() == http.StatusServiceUnavailable })
	if status, text := g.Readyz(t); status != http.StatusServiceUnavailable || !strings.Contains(text, "closing") {
		t.Errorf("readyz: %d %s", status, text)
	}
	if res := plain.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("a request that comes late: %s, the connection goes: %t", res.Status, res.Close)
	}
	if res := alice.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusOK { // and HTTP/2 has been sent away
		t.Errorf("a request that comes late: %s", res.Status)
	}
	select {
	case ended := <-stream.over:
		if took := ended.Sub(began); took < drain {
			t.Errorf("the stream was sent away after %v", took)
		}
	case <-time.After(30 * time.Second):
		t.Error("the stream is still open")
	}
	g.Stop(t)
	if took := time.Since(began); took < drain {
		t.Errorf("it ended after %v", took)
	}
	if steps := regexp.MustCompile(`(?s)"leaving: .*"drain":"4s".*"closing: .*"grace":"5s".*"closed"`); !steps.MatchString(log.String()) {
		t.Errorf("its log does not tell of it:\n%s", log.String())
	}
}

// TestLogoutBeforeTheEnd: the refresh token of who has just logged out is not left to its end with the gateway, and nobody waits
// for the time that a browser has.
func TestLogoutBeforeTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice, g := w.person(t, 0), w.Gateways[0]
	alice.Login("alice")
	if res := alice.Navigate("/bff/logout?sid=" + bff.PublicID([]byte(alice.Session()))); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s", res.Status)
	}
	if n := len(w.IDP.Calls(openid.PathRevoke)); n != 0 {
		t.Errorf("taken back %d times before", n)
	}
	const slow = 3 * time.Second // an end with HTTP/2 takes one anyway
	w.IDP.Break(openid.PathRevoke, providertest.Slow(slow))
	began := time.Now()
	g.Stop(t)
	if n, took := len(w.IDP.Calls(openid.PathRevoke)), time.Since(began); n != 1 || took < slow {
		t.Errorf("taken back %d times, and it ended after %v", n, took)
	}
}

// TestReadyIsThisGateways: what fails at all gateways alike does not send requests elsewhere, and what is this one's own
// does.
func TestReadyIsThisGateways(t *testing.T) {
	t.Parallel()
	redis := stack.StartRedis(t, stack.RedisOptions{})
	w := newWorld(t, options{redis: redis})
	cfg := w.config(t)
	cfg.Provider.CA = w.Path("tls.pem") // a certificate, and not the provider's
	g := w.Run(t, cfg)
	gatewaytest.Eventually(t, "readyz names the provider alone", func() bool {
		status, text := g.Readyz(t)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "provider") && w.person(t, 1).ready() == http.StatusOK
	})
	must(t, redis.Pause())
	if status := w.person(t, 1).ready(); status != http.StatusServiceUnavailable {
		t.Errorf("without Redis it is ready: %d", status)
	}
	must(t, redis.Resume())
	gatewaytest.Eventually(t, "it is ready again", func() bool { return w.person(t, 1).ready() == http.StatusOK })
	redis.Call(t, "CONFIG", "SET", "maxmemory", "1") // which is so for all gateways
	gatewaytest.Eventually(t, "readyz says that nothing can be written", func() bool {
		_, text := g.Readyz(t)
		return strings.Contains(text, "OOM")
	})
	if status := w.person(t, 1).ready(); status != http.StatusOK {
		t.Errorf("where Redis only reads: %d", status)
	}
}

// TestLeaveAnswersNewcomers: whoever had connected when the door closed is answered, also if the request comes after that.
func TestLeaveAnswersNewcomers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	g := w.Gateways[0]
	conn, err := tls.Dial("tcp", g.Front, &tls.Config{RootCAs: w.Authority.Pool(), ServerName: host})
	must(t, err)
	defer conn.Close()
	g.Leave()
	gatewaytest.Eventually(t, "the door is closed", func() bool {
		other, err := net.Dial("tcp", g.Front)
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	_, err = io.WriteString(conn, "GET /bff/session HTTP/1.1\r\nHost: "+w.hostPort()+"\r\nSec-Fetch-Site: same-origin\r\n\r\n")
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("%s, the connection goes: %t", res.Status, res.Close)
	}
	g.Stop(t)
}

// TestNobodyIsServedUnsettled: a gateway that has heard of a logout and cannot store it serves nobody, so it says so.
func TestNobodyIsServedUnsettled(t *testing.T) {
	t.Parallel()
	redis := stack.StartRedis(t, stack.RedisOptions{})
	w := newWorld(t, options{redis: redis})
	alice, g := w.person(t, 0), w.Gateways[0]
	alice.Login("alice")
	redis.Call(t, "CONFIG", "SET", "maxmemory", "1")
	if res := alice.Post("/bff/backchannel-logout", url.Values{"logout_token": {w.IDP.LogoutToken("gateway", "bob", "")}}); res.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%s %s", res.Status, res.Text)
	}
	if res := alice.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a fetch: %s", res.Status)
	}
	gatewaytest.Eventually(t, "readyz and ready say no", func() bool {
		status, text := g.Readyz(t)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "OOM") && alice.ready() == http.StatusServiceUnavailable
	})
	redis.Call(t, "CONFIG", "SET", "maxmemory", "0")
	gatewaytest.Eventually(t, "all is served again", func() bool {
		return alice.ready() == http.StatusOK && alice.Fetch(http.MethodGet, "/orders/1").StatusCode == http.StatusOK
	})
}
