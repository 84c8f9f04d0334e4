package stack_test

import (
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestRedis(t *testing.T) {
	r := stack.Redis(t)
	if again := stack.Redis(t); again.Addr != r.Addr {
		t.Errorf("two servers in one process: %s and %s", r.Addr, again.Addr)
	}
	r.Call(t, "SET", "ic:a", strings.Repeat("findme", 20))
	if dump := string(r.Dump(t)); !strings.Contains(dump, "findmefindme") {
		t.Error("a dump does not show what is stored in the clear: no test may rely on its silence")
	}
}

func TestRedisGuarded(t *testing.T) {
	r := stack.StartRedis(t, stack.RedisOptions{Guarded: true})
	if out := r.Call(t, "ACL", "DRYRUN", r.Username, "SET", "ic:a", "b"); out != "OK" {
		t.Errorf("the application may not write its keys: %s", out)
	}
	for _, refused := range [][]string{{"KEYS", "*"}, {"FLUSHALL"}, {"GET", "other:a"}} {
		if out := r.Call(t, append([]string{"ACL", "DRYRUN", r.Username}, refused...)...); out == "OK" {
			t.Errorf("the application may %v", refused)
		}
	}
}

func TestRedisSentinel(t *testing.T) {
	g := stack.StartRedisSentinel(t, 1)
	first := g.Primary(t)
	if first != g.Servers[0] {
		t.Fatalf("the primary is %s", first.Addr)
	}
	first.Kill()
	for end := time.Now().Add(time.Minute); g.Primary(t) == first; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no failover within a minute")
		}
	}
}

func TestRedisCluster(t *testing.T) {
	g := stack.StartRedisCluster(t)
	var moved int
	for _, key := range []string{"a", "b", "c"} {
		if strings.Contains(g.Servers[0].Call(t, "SET", key, "1"), "MOVED") {
			moved++
		}
	}
	if moved == 0 {
		t.Error("one node has all slots")
	}
}
