package runbooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestRedisLost stops Redis under two gateways, and brings it back with what it held, with nothing, and with what it held
// some time ago.
func TestRedisLost(t *testing.T) {
	t.Parallel()
	page := open(t, "redis-lost.md")
	redis := stack.StartRedis(t, stack.RedisOptions{})
	w := atOurs(t, one(redis), openid.Config{})
	alice := w.person(t).loggedIn()
	redis.Call(t, "SAVE")

	away := &seen{}
	listening := alice.listens(away)
	must(t, redis.Process.Stop())
	gatewaytest.Eventually(t, "the gateways notice", func() bool { return !alice.works("/files/1") })
	for _, path := range []string{"/files/1", "/bff/session", "/news/1"} {
		alice.fetches(away, path)
	}
	alice.opens(away, "/files/1")
	alice.opens(away, "/bff/login")
	stranger := &seen{}
	w.person(t).fetches(stranger, "/news/1")
	w.admin(t, away, "/readyz")
	w.logs(away)
	w.intercom(t, away, "doctor --gateway gateway.yaml")
	another := w.Gateways[0].Config
	another.Audit.Dir = w.Path("audit-another")
	_, err := gateway.New(t.Context(), another)
	away.add("the start:", err.Error())
	page.holds("away", away)
	page.holds("strangers", stranger)

	back := &seen{}
	must(t, redis.Process.Start(t.Context()))
	gatewaytest.Eventually(t, "it goes on", func() bool { return alice.works("/files/1") })
	alice.fetches(back, "/files/1")
	w.admin(t, back, "/readyz")
	page.holds("back", back)

	emptied := away // the stream has not ended yet
	redis.Call(t, "FLUSHALL")
	<-listening
	alice.fetches(emptied, "/files/1")
	if a := alice.login(emptied); a.StatusCode != http.StatusOK || a.asked {
		t.Errorf("the login: %s", a.words())
	}
	page.holds("emptied", emptied)
	w.snapshot(t, page, redis, alice)
}

// snapshot ends a session that is in Redis' file, and lets Redis come back with that.
func (w *world) snapshot(t *testing.T, page *runbook, redis *stack.RedisServer, alice *person) {
	t.Helper()
	old := &seen{}
	redis.Call(t, "SAVE")
	w.IDP.EndSession(t.Context(), "alice")
	gatewaytest.Eventually(t, "the session is over", func() bool { return !alice.works("/files/1") })
	alice.fetches(old, "/files/1")
	must(t, redis.Process.Stop())
	must(t, redis.Process.Start(t.Context()))
	gatewaytest.Eventually(t, "the old session is there again", func() bool {
		return alice.fetches(old, "/bff/session").StatusCode == http.StatusOK
	})
	w.intercom(t, old, "sessions end --config gateway.yaml --all")
	gatewaytest.Eventually(t, "the session is over", func() bool { return !alice.works("/files/1") })
	alice.fetches(old, "/orders/1")
	page.holds("snapshot", old)
}

// TestRedisFailover: behind sentinels, the death of the primary is a pause.
func TestRedisFailover(t *testing.T) {
	t.Parallel()
	group := stack.StartRedisSentinel(t, 1)
	w := atOurs(t, gateway.Sessions{Redis: &kv.Config{Addresses: group.Addrs, Sentinel: kv.Sentinel{Primary: group.Name}}}, openid.Config{})
	alice := w.person(t).loggedIn()
	away := &seen{}
	began := time.Now()
	group.Primary(t).Kill()
	gatewaytest.Eventually(t, "the gateways notice", func() bool { return !alice.works("/files/1") })
	alice.fetches(away, "/files/1")
	gatewaytest.Eventually(t, "it goes on with the replica", func() bool { return alice.works("/files/1") })
	t.Logf("after %s, of which the sentinels take one second to believe it", time.Since(began).Round(100*time.Millisecond))
	if lines := away.all(); lines[0] != "fetch /files/1: 503 session_store_unavailable, Retry-After: 1" {
		t.Errorf("%q", lines)
	}
}
