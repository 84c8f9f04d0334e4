package doctor_test

import (
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestRedis gives the gateway users and servers that are not what they should be.
func TestRedis(t *testing.T) {
	w := start(t)
	user := func(name string, rules ...string) func(*gateway.Config) {
		w.redis.Call(t, append([]string{"ACL", "SETUSER", name, "on", ">pass-of-" + name}, rules...)...)
		w.Write(t, name, "pass-of-"+name)
		return func(c *gateway.Config) {
			c.Sessions.Redis.Username, c.Sessions.Redis.Password = name, w.file(name)
		}
	}
	for name, c := range map[string]struct {
		change func(*gateway.Config)
		want   want
	}{
		"other keys": {user("elsewhere", "~app:*", "&*", "+@all", "-@dangerous"), want{"redis", doctor.Fail, "NOPERM", "~ic:*"}},
		"no scripts": {user("scriptless", "~ic:*", "&*", "+@all", "-@dangerous", "-@scripting"), want{"redis", doctor.Fail, "NOPERM", "sessions.redis.username"}},
		"no news":    {user("deaf", "~ic:*", "&*", "+@all", "-@dangerous", "-client|tracking"), want{"redis", doctor.Fail, "", "sessions.redis"}},
		"too much":   {user("almighty", "~*", "&*", "+@all"), want{"redis", doctor.Warn, "almighty may empty the whole server", "-@dangerous"}},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, w.examine(t, func(o *doctor.Options) { c.change(o.Gateway) }), c.want)
		})
	}
	t.Run("evicting, for everybody, and without a disk", func(t *testing.T) {
		r := stack.StartRedis(t, stack.RedisOptions{})
		r.Call(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		rows := w.examine(t, func(o *doctor.Options) {
			s := o.Gateway.Sessions.Redis
			s.Addresses, s.Username, s.TLS, s.Password = []string{r.Addr}, "", nil, strict.Ref{}
		})
		broken(t, rows, want{"redis", doctor.Warn, "drives keys out", "noeviction"})
		for _, also := range []want{{"redis", doctor.Warn, "default may empty", "ACL SETUSER"}, {"redis", doctor.OK, "keeps nothing on a disk", ""}} {
			if !also.among(rows) {
				t.Errorf("no row is %+v", also)
			}
		}
		if left := r.Call(t, "KEYS", "ic:doctor:*"); left != "" {
			t.Errorf("left behind: %s", left)
		}
	})
	for name, shape := range map[string]func(*testing.T) kv.Config{
		"cluster": func(t *testing.T) kv.Config {
			return kv.Config{Addresses: stack.StartRedisCluster(t).Addrs, Cluster: true}
		},
		"sentinel": func(t *testing.T) kv.Config {
			g := stack.StartRedisSentinel(t, 1)
			return kv.Config{Addresses: g.Addrs, Sentinel: kv.Sentinel{Primary: g.Name}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := shape(t)
			broken(t, w.examine(t, func(o *doctor.Options) { o.Gateway.Sessions.Redis = &c }), want{"redis", doctor.OK, "a key was written, heard of", ""})
		})
	}
	t.Run("frozen", func(t *testing.T) {
		r := stack.StartRedis(t, stack.RedisOptions{})
		must(t, r.Pause())
		t.Cleanup(func() { must(t, r.Resume()) })
		began := time.Now()
		broken(t, w.examine(t, func(o *doctor.Options) {
			s := o.Gateway.Sessions.Redis
			s.Addresses, s.TLS = []string{r.Addr}, nil
		}), want{"redis", doctor.Fail, "", "sessions.redis"})
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
