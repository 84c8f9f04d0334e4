package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// unhurried gives a Redis its time that shares the machine with three gateways and all who call them at once.
func unhurried(c *gateway.Config) {
	c.Sessions.Redis.Silence, c.Sessions.Redis.Timeout = strict.Duration(20*time.Second), strict.Duration(20*time.Second)
}

// TestOneRefresh: 200 requests at once over three gateways, with a session whose access token has just expired, are
// 200 answers and one refresh. The provider rotates, and would end the session at a second one.
func TestOneRefresh(t *testing.T) {
	w := newWorld(t, options{replicas: 3, redis: stack.StartRedis(t, stack.RedisOptions{}), change: unhurried})
	soon := providertest.Answer(func(answer map[string]any) { answer["expires_in"] = 1 })
	w.IDP.Break(openid.PathToken, providertest.Times(1, soon))
	alice := w.person(t, 0)
	alice.Login("alice")
	<-time.After(1100 * time.Millisecond) // the token's life, as the gateways were told
	before := w.services.served.Load()
	if w.IDP.Grants("refresh_token") != 0 {
		t.Fatal("it was refreshed already")
	}
	const requests = 200
	answers := make(chan gatewaytest.Answer, requests)
	var all sync.WaitGroup
	replicas := []*person{alice.at(0), alice.at(1), alice.at(2)}
	for i := range requests {
		all.Go(func() { answers <- replicas[i%3].Fetch(http.MethodGet, "/orders/1") })
	}
	all.Wait()
	close(answers)
	for res := range answers {
		if res.StatusCode != http.StatusOK {
			t.Errorf("%d %s", res.StatusCode, res.Text)
		}
	}
	if n := w.IDP.Grants("refresh_token"); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if n := w.services.served.Load() - before; n != requests {
		t.Errorf("%d requests arrived", n)
	}
}

// TestBackchannelLogout: the end of a session at the provider is the end of it at every gateway, of its streams too.
func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{replicas: 3, redis: stack.StartRedis(t, stack.RedisOptions{}), change: unhurried})
	alice := w.person(t, 0)
	alice.Login("alice")
	streams := []*stream{alice.at(0).stream("/orders/stream"), alice.at(1).stream("/orders/stream"), alice.at(2).stream("/bff/events")}
	if n := w.IDP.EndSession(t.Context(), "alice"); n != 1 {
		t.Fatalf("%d sessions at the provider", n)
	}
	for i := range w.Gateways {
		gatewaytest.Eventually(t, "the gateway knows", func() bool {
			return alice.at(i).Fetch(http.MethodGet, "/orders/1").StatusCode == http.StatusUnauthorized
		})
	}
	for i, s := range streams {
		s.ends(t, i)
	}
}

// TestStreamsAreAskedToGo: a gateway that ends lets its streams go at once, and not after the grace.
func TestStreamsAreAskedToGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{change: func(c *gateway.Config) { c.Grace = strict.Duration(5 * time.Minute) }})
	alice := w.person(t, 0)
	alice.Login("alice")
	streams := []*stream{alice.stream("/orders/stream"), alice.stream("/bff/events")}
	w.Gateways[0].Leave()
	for i, s := range streams {
		s.ends(t, i)
	}
	w.Gateways[0].Stop(t)
}

// stream is an answer that lasts.
type stream struct {
	over chan time.Time
	stop context.CancelFunc
}

// stream opens a stream, and returns when its first bytes are there.
func (p *person) stream(path string) *stream {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.t.Context())
	res, err := p.HTTP.Do(p.Request(ctx, http.MethodGet, path, nil, append(providertest.Fetch(p.Home), "Accept: text/event-stream")...))
	must(p.t, err)
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %d", path, res.StatusCode)
	}
	first := make([]byte, 1)
	_, err = res.Body.Read(first)
	must(p.t, err)
	s := &stream{over: make(chan time.Time, 1), stop: stop}
	go func() {
		defer res.Body.Close()
		buffer := make([]byte, 512)
		for err == nil {
			_, err = res.Body.Read(buffer)
		}
		s.over <- time.Now()
	}()
	return s
}

// ends waits until the gateway has ended the stream.
func (s *stream) ends(t testing.TB, name int) {
	t.Helper()
	select {
	case <-s.over:
	case <-time.After(30 * time.Second):
		t.Errorf("stream %d is still open", name)
		s.stop()
	}
}

// TestStoreFrozen: while nobody can say who is logged in, everybody is told to come again; nobody is sent to log in,
// and nobody is served from memory for longer than the bound says.
func TestStoreFrozen(t *testing.T) {
	t.Parallel()
	redis := stack.StartRedis(t, stack.RedisOptions{})
	w := newWorld(t, options{redis: redis})
	alice := w.person(t, 0)
	alice.Login("alice")
	must(t, redis.Pause())
	gatewaytest.Eventually(t, "the store counts as down", func() bool {
		return alice.Fetch(http.MethodGet, "/orders/1").StatusCode == http.StatusServiceUnavailable
	})
	for _, res := range []gatewaytest.Answer{
		alice.Fetch(http.MethodGet, "/orders/1"), alice.Navigate("/orders/1"), alice.Fetch(http.MethodGet, "/bff/session"), alice.Navigate("/bff/login"),
	} {
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", res.Request.URL, res.StatusCode, res.Header)
		}
	}
	if status, text := w.Gateways[0].Readyz(t); status != http.StatusServiceUnavailable || !strings.Contains(text, "sessions") {
		t.Errorf("readyz: %d %s", status, text)
	}
	must(t, redis.Resume())
	gatewaytest.Eventually(t, "alice is served again", func() bool { return alice.Fetch(http.MethodGet, "/orders/1").StatusCode == http.StatusOK })
}

// TestTheProviderIsBack: who waits since the provider was away does so no longer than it is.
func TestTheProviderIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	soon := providertest.Answer(func(answer map[string]any) { answer["expires_in"] = 1 })
	w.IDP.Break(openid.PathToken, providertest.Times(1, soon))
	alice := w.person(t, 0)
	alice.Login("alice")
	<-time.After(1100 * time.Millisecond) // the token's life, as the gateway was told
	for _, endpoint := range []string{openid.PathToken, openid.PathDiscovery} {
		w.IDP.Break(endpoint, providertest.Status(http.StatusServiceUnavailable, 30*time.Second))
	}
	status := func() int { return alice.Fetch(http.MethodGet, "/orders/1").StatusCode }
	if got := status(); got != http.StatusServiceUnavailable {
		t.Fatalf("with a token that has ended: %d", got)
	}
	w.IDP.Heal()
	back := time.Now()
	gatewaytest.Eventually(t, "she is served", func() bool { return status() == http.StatusOK })
	if took := time.Since(back); took > 20*time.Second {
		t.Errorf("after %v: she has waited for the end of her pause", took)
	}
}
