package redis_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestFailover makes a replica the primary, under load. Sessions and logouts that the replica had are there
// afterwards, nobody is called anonymous meanwhile, and what is written then works.
func TestFailover(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *stack.RedisGroup){
		"killed":    func(t *testing.T, g *stack.RedisGroup) { g.Primary(t).Kill() },
		"asked for": func(t *testing.T, g *stack.RedisGroup) { g.Failover(t) },
		"frozen": func(t *testing.T, g *stack.RedisGroup) {
			if err := g.Primary(t).Pause(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := stack.StartRedisSentinel(t, 1)
			p := place{config: kv.Config{Addresses: g.Addrs, Sentinel: kv.Sentinel{Primary: g.Name}}}.fresh(t)
			managers := sessiontest.Managers(t, p.open, 3)
			living, livingS := sessiontest.Login(t, managers[0], expired("ann", "s1"))
			over, overS := sessiontest.Login(t, managers[1], sessiontest.New("bob", "s2"))
			load := startLoad(t, managers, []session.ID{living, over})
			sessiontest.Eventually(t, "it is served", func() bool { return load.served(0) > 100 })
			if err := managers[2].End(t.Context(), overS, session.ReasonOperator); err != nil {
				t.Fatal(err)
			}
			replicated(t, g)
			primary := g.Primary(t)
			end(t, g)
			for end := time.Now().Add(time.Minute); g.Primary(t) == primary; <-time.After(50 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("no failover")
				}
			}
			for i, m := range managers {
				before := load.served(i)
				sessiontest.Eventually(t, "it is served after the failover", func() bool { return load.served(i) > before+100 })
				_, err := m.Get(t.Context(), over)
				wantCode(t, err, session.CodeRevoked)
			}
			sessiontest.Eventually(t, "it is refreshed after the failover", func() bool {
				fresh, err := managers[1].Fresh(t.Context(), livingS, (&sessiontest.Provider{}).Refresh)
				return err == nil && fresh.Tokens.Generation == 2
			})
			sessiontest.Eventually(t, "it is ended after the failover", func() bool {
				return managers[0].End(t.Context(), livingS, session.ReasonLogout) == nil
			})
			for _, m := range managers {
				sessiontest.Eventually(t, "all hear of it", func() bool {
					_, err := m.Get(t.Context(), living)
					return errors.As(err, new(*session.Ended))
				})
			}
			load.stop()
		})
	}
}

// replicated waits until the replica has all that the primary has: what it has not may be lost, which is
// what the last acknowledged writes of a primary are.
func replicated(t *testing.T, g *stack.RedisGroup) {
	t.Helper()
	sessiontest.Eventually(t, "the replica follows", func() bool { return g.Primary(t).Call(t, "WAIT", "1", "1000") == "1" })
}

// TestOneNodeFreezes: on a cluster, who is on the other nodes notices nothing.
func TestOneNodeFreezes(t *testing.T) {
	g := stack.StartRedisCluster(t)
	p := place{config: kv.Config{Addresses: g.Addrs, Cluster: true}}.fresh(t)
	m := sessiontest.Manage(t, session.Config{Store: p.open(t)})
	frozen := g.Servers[2]
	var there, elsewhere []session.ID
	for len(there) == 0 || len(elsewhere) == 0 {
		id, s := sessiontest.Login(t, m, sessiontest.New("ann", "s1"))
		if frozen.Call(t, "EXISTS", p.prefix+"s:{"+s.Hash.String()+"}") == "1" {
			there = append(there, id)
		} else {
			elsewhere = append(elsewhere, id)
		}
		if _, err := m.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := frozen.Pause(); err != nil {
		t.Fatal(err)
	}
	sessiontest.Eventually(t, "who is on the frozen node gets 503", func() bool {
		_, err := m.Get(t.Context(), there[0])
		if err != nil && !errors.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		return err != nil
	})
	if _, err := m.Get(t.Context(), elsewhere[0]); err != nil {
		t.Errorf("who is on another node: %v", err)
	}
	if err := frozen.Resume(); err != nil {
		t.Fatal(err)
	}
	sessiontest.Eventually(t, "the node is used again", func() bool {
		_, err := m.Get(t.Context(), there[0])
		return err == nil
	})
}

// TestNewsThatAreLost cuts a gateway's connections at the moment in which sessions end elsewhere: whatever
// it could not hear, it must not serve.
func TestNewsThatAreLost(t *testing.T) {
	p, r := onOwnRedis(t)
	one, other := sessiontest.Manage(t, session.Config{Store: p.open(t)}), sessiontest.Manage(t, session.Config{Store: p.open(t)})
	for range 20 {
		var id session.ID
		var s session.Session
		sessiontest.Eventually(t, "somebody logs in", func() (ok bool) { // the connection was cut a moment ago
			var err error
			id, s, err = one.Create(t.Context(), sessiontest.New("ann", "s1"))
			return err == nil
		})
		watched := one.Watch(t.Context(), s.Hash)
		sessiontest.Eventually(t, "it is served", func() bool {
			_, err := one.Get(t.Context(), id)
			return err == nil
		})
		var cut sync.WaitGroup
		cut.Go(func() { r.Call(t, "CLIENT", "KILL", "TYPE", "normal") })
		sessiontest.Eventually(t, "it ends elsewhere", func() bool { return other.End(t.Context(), s, session.ReasonOperator) == nil })
		sessiontest.Eventually(t, "it is served no longer", func() bool {
			_, err := one.Get(t.Context(), id)
			return errors.As(err, new(*session.Ended))
		})
		select {
		case e := <-watched:
			if e.Reason != session.ReasonOperator {
				t.Errorf("told %q", e.Reason)
			}
		case <-time.After(sessiontest.Patience):
			t.Error("who watches was not told")
		}
		cut.Wait()
	}
}

// TestKeysRotate: gateways take over a new sealing key one after the other, and nobody is logged out.
func TestKeysRotate(t *testing.T) {
	first, second := newKey(), newKey()
	a, _ := onRedis(t)
	b := a
	a.ring, b.ring = newRing(t, first), newRing(t, first)
	one, other := sessiontest.Manage(t, session.Config{Store: a.open(t)}), sessiontest.Manage(t, session.Config{Store: b.open(t)})
	id, s := sessiontest.Login(t, one, expired("ann", "s1"))
	served := func(step string) {
		t.Helper()
		for _, m := range []*session.Manager{one, other} {
			if _, err := m.Get(t.Context(), id); err != nil {
				t.Errorf("%s: %v", step, err)
			}
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"all know both, the old one seals", func() error { return errors.Join(a.ring.Set(first, second), b.ring.Set(first, second)) }},
		{"one seals with the new one", func() error { return a.ring.Set(second, first) }},
		{"it is sealed anew", func() error {
			_, err := one.Fresh(t.Context(), s, (&sessiontest.Provider{}).Refresh)
			return err
		}},
		{"the other too", func() error { return b.ring.Set(second, first) }},
		{"the old one is gone", func() error { return errors.Join(a.ring.Set(second), b.ring.Set(second)) }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.name, err)
		}
		served(step.name)
	}
	if _, err := b.open(t).Load(t.Context(), s.Hash); err != nil {
		t.Errorf("afresh from the store: %v", err)
	}
}
