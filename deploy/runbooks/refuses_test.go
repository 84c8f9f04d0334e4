package runbooks_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestRedisRefuses fills Redis up, and takes our keys from us by its access list.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	page := open(t, "redis-refuses.md")
	redis := stack.StartRedis(t, stack.RedisOptions{})
	w := atOurs(t, one(redis), openid.Config{})
	alice := w.person(t).loggedIn()

	full := &seen{}
	redis.Call(t, "CONFIG", "SET", "maxmemory", "1")
	w.says(t, full, "OOM")
	alice.fetches(full, "/files/1")
	alice.fetches(full, "/bff/session")
	w.named(t, "carol").opens(full, "/bff/login")
	alice.logsOut(full)
	w.intercom(t, full, "sessions list --config gateway.yaml")
	w.logs(full)
	w.intercom(t, full, "doctor --gateway gateway.yaml")
	page.holds("full", full)

	room := &seen{}
	redis.Call(t, "CONFIG", "SET", "maxmemory", "0")
	w.says(t, room, `"sessions":"ok"`)
	carol := w.named(t, "carol").loggedIn()
	carol.fetches(room, "/files/1")
	page.holds("room", room)

	forbidden := &seen{}
	redis.Call(t, "ACL", "SETUSER", "default", "resetkeys", "~foo:*")
	w.says(t, forbidden, "NOPERM")
	for n := range w.Gateways { // one of them knows her
		carol.at(n).fetches(forbidden, "/files/1")
	}
	w.intercom(t, forbidden, "doctor --gateway gateway.yaml")
	page.holds("forbidden", forbidden)

	allowed := &seen{}
	redis.Call(t, "ACL", "SETUSER", "default", "allkeys")
	w.says(t, allowed, `"sessions":"ok"`)
	carol.fetches(allowed, "/files/1")
	page.holds("allowed", allowed)
}
