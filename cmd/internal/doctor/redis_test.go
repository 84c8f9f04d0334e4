package doctor_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
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

// TestRedisRefuses: what answers and does not serve is told from what is not there, and what is no Redis from what is one.
func TestRedisRefuses(t *testing.T) {
	l := startLesser(t, nil)
	server := func(t *testing.T, commands ...[]string) string {
		t.Helper()
		r := stack.StartRedis(t, stack.RedisOptions{})
		for _, c := range commands {
			r.Call(t, c...)
		}
		return r.Addr
	}
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for name, c := range map[string]struct {
		address func(*testing.T) string
		change  func(*kv.Config)
		want    want
	}{
		"full": {func(t *testing.T) string { return server(t, []string{"CONFIG", "SET", "maxmemory", "1"}) }, nil,
			want{"redis", doctor.Fail, "refuses: OOM", "maxmemory"}},
		"a replica": {func(t *testing.T) string { return server(t, []string{"REPLICAOF", "127.0.0.1", "1"}) }, nil,
			want{"redis", doctor.Fail, "refuses: READONLY", "sessions.redis.addresses: name the primary"}},
		"TLS to one that speaks plainly": {func(t *testing.T) string { return server(t) }, func(c *kv.Config) { c.TLS = &kv.TLS{CA: l.Authority.File} },
			want{"redis", doctor.Fail, "", "sessions.redis.tls: take tls out"}},
		"a web server": {func(*testing.T) string { return web.Listener.Addr().String() }, nil,
			want{"redis", doctor.Fail, "speaks HTTP", "sessions.redis.addresses: correct the port"}},
	} {
		t.Run(name, func(t *testing.T) {
			gateway := l.Gateways[0].Config
			gateway.UpstreamCA = l.Authority.File
			gateway.Sessions.Redis = &kv.Config{Addresses: []string{c.address(t)}}
			if c.change != nil {
				c.change(gateway.Sessions.Redis)
			}
			rows := doctor.Examine(t.Context(), doctor.Options{Gateway: &gateway, GatewayFile: "gateway.yaml", Timeout: patient})
			broken(t, rows, c.want, append(always(), "sealing-keys")...)
			for _, r := range rows {
				if r.Check == "redis" && r.Status == doctor.Fail && strings.Contains(r.Cure, "start Redis") {
					t.Errorf("it runs: %+v", r)
				}
			}
		})
	}
}

// TestSealedSessions: which keys the sessions in Redis need is said, and that one is missing.
func TestSealedSessions(t *testing.T) {
	l := startLesser(t, nil)
	r := stack.StartRedis(t, stack.RedisOptions{})
	store, err := kv.Open(kv.Config{Addresses: []string{r.Addr}}, kv.Options{})
	must(t, err)
	t.Cleanup(store.Close)
	first, second := strings.Repeat("5a", 32), strings.Repeat("c3", 32)
	keep := func(key byte) {
		t.Helper()
		ring, err := session.NewRing(secret.New(bytes.Repeat([]byte{key}, 32)))
		must(t, err)
		hash := session.NewID().Hash()
		sealed, err := ring.Seal(session.Session{Hash: hash})
		must(t, err)
		_, err = store.Do(t.Context(), store.B().Set().Key("ic:s:{"+hash.String()+"}").Value(string(sealed)).Build())
		must(t, err)
		tombstone, err := ring.SealEnded(hash, session.Ended{})
		must(t, err)
		_, err = store.Do(t.Context(), store.B().Set().Key("ic:s:{"+session.NewID().Hash().String()+"}").Value(string(tombstone)).Build())
		must(t, err)
	}
	look := func(w want, keys ...string) {
		t.Helper()
		c := l.Gateways[0].Config
		c.UpstreamCA = l.Authority.File
		l.Write(t, "keys", strings.Join(keys, "\n"))
		c.Sessions = gateway.Sessions{Redis: &kv.Config{Addresses: []string{r.Addr}}, Keys: []strict.Ref{{Scheme: "file", Name: l.Path("keys")}}}
		broken(t, doctor.Examine(t.Context(), doctor.Options{Gateway: &c, GatewayFile: "gateway.yaml", Timeout: patient}), w, append(always(), "redis")...)
	}
	keep(0x5a)
	look(want{"sealing-keys", doctor.OK, "sealed with an older key: 1 of 1 session", ""}, second, first)
	keep(0xc3)
	look(want{"sealing-keys", doctor.Warn, "sealed with none of them: 1 of 2 sessions", "sessions.keys: put the key"}, second)
	r.Call(t, "FLUSHALL")
	keep(0xc3)
	look(want{"sealing-keys", doctor.OK, "sealed with the first: all of 1 session in Redis; the others may go", ""}, second, first)
}
