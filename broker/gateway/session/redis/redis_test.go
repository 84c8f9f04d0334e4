package redis_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/redis"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// place is where sessions are kept: a server, and a prefix of the test's own.
type place struct {
	config   kv.Config
	password string
	prefix   string
	ring     *session.Ring
	now      func() time.Time
}

func newKey() secret.Value {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return secret.New(key)
}

func newRing(t *testing.T, keys ...secret.Value) *session.Ring {
	t.Helper()
	ring, err := session.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func (p place) fresh(t *testing.T) place {
	p.prefix, p.ring = "ic:"+strings.ToLower(rand.Text()[:8])+":", newRing(t, newKey())
	return p
}

func (p place) open(t *testing.T) session.Shared {
	t.Helper()
	s, err := redis.Open(p.config, redis.Options{
		Dial: kv.Options{Password: secret.FromString(p.password)}, Ring: p.ring, Prefix: p.prefix, Now: p.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// onRedis is the shared plain server, with a prefix of the test's own.
func onRedis(t *testing.T) (place, *stack.RedisServer) {
	r := stack.Redis(t)
	return place{config: kv.Config{Addresses: []string{r.Addr}}}.fresh(t), r
}

// onOwnRedis is a server that the test may stop.
func onOwnRedis(t *testing.T) (place, *stack.RedisServer) {
	r := stack.StartRedis(t, stack.RedisOptions{})
	return place{config: kv.Config{Addresses: []string{r.Addr}}}.fresh(t), r
}

// onGuardedRedis is a server of the test's own with TLS, and a user who may do nothing dangerous.
func onGuardedRedis(t *testing.T) (place, *stack.RedisServer) {
	r := stack.StartRedis(t, stack.RedisOptions{Guarded: true})
	return place{
		config:   kv.Config{Addresses: []string{r.Addr}, TLS: &kv.TLS{CA: r.CACert}, Username: r.Username},
		password: r.Password,
	}.fresh(t), r
}

func contract(t *testing.T, p place) {
	sessiontest.Run(t, func(t *testing.T) sessiontest.Open { return p.fresh(t).open })
}

func TestSingle(t *testing.T) {
	p, _ := onRedis(t)
	contract(t, p)
}

func TestGuarded(t *testing.T) {
	p, _ := onGuardedRedis(t)
	contract(t, p)
}

func TestSentinel(t *testing.T) {
	g := stack.StartRedisSentinel(t, 1)
	contract(t, place{config: kv.Config{Addresses: g.Addrs, Sentinel: kv.Sentinel{Primary: g.Name}}})
}

func TestCluster(t *testing.T) {
	contract(t, place{config: kv.Config{Addresses: stack.StartRedisCluster(t).Addrs, Cluster: true}})
}
