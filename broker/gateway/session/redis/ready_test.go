package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session/redis"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestReady: a server that answers is not enough. A trial that was good is not made at each question.
func TestReady(t *testing.T) {
	r := stack.StartRedis(t, stack.RedisOptions{})
	now := time.Now()
	p := place{config: kv.Config{Addresses: []string{r.Addr}}, now: func() time.Time { return now }}.fresh(t)
	ready := p.open(t).(*redis.Store).Ready
	locks := func() (n string) { return r.Call(t, "EVAL", "return #redis.call('KEYS', 'ic:*:l:*')", "0") }
	if err := ready(t.Context()); err != nil || locks() != "1" {
		t.Fatalf("%v, %s locks", err, locks())
	}
	r.Call(t, "FLUSHALL")
	if err := ready(t.Context()); err != nil || locks() != "0" {
		t.Errorf("at once again: %v, %s locks", err, locks())
	}
	for setting, c := range map[string]struct {
		back     []string
		readOnly bool
	}{
		"CONFIG SET maxmemory 1":                {[]string{"CONFIG", "SET", "maxmemory", "0"}, true},
		"CONFIG SET min-replicas-to-write 1":    {[]string{"CONFIG", "SET", "min-replicas-to-write", "0"}, true},
		"ACL SETUSER default resetkeys ~foo:*":  {[]string{"ACL", "SETUSER", "default", "allkeys"}, false},
		"ACL SETUSER default -@scripting":       {[]string{"ACL", "SETUSER", "default", "+@all"}, false},
		"ACL SETUSER default resetkeys %R~ic:*": {[]string{"ACL", "SETUSER", "default", "allkeys"}, false},
	} {
		now = now.Add(time.Minute)
		r.Call(t, strings.Fields(setting)...)
		if err := ready(t.Context()); err == nil || kv.ReadOnly(err) != c.readOnly {
			t.Errorf("%s: %v", setting, err)
		}
		r.Call(t, c.back...)
		if err := ready(t.Context()); err != nil {
			t.Errorf("%s, and back: %v", setting, err)
		}
	}
}
