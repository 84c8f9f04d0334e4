package redis_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/redis"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// BenchmarkLogoutReachesAll is the time from the call of a back-channel logout until the last of three
// gateways, all of which have the session in memory, serves it no longer.
func BenchmarkLogoutReachesAll(b *testing.B) {
	r := stack.Redis(b)
	ring, err := session.NewRing(newKey())
	if err != nil {
		b.Fatal(err)
	}
	var managers []*session.Manager
	for range 3 {
		store, err := redis.Open(kv.Config{Addresses: []string{r.Addr}}, redis.Options{Ring: ring, Prefix: "ic:bench:"})
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		managers = append(managers, session.New(session.Config{Store: store}))
	}
	ctx := context.Background()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		sid := "s" + time.Now().String()
		id, _, err := managers[0].Create(ctx, sessiontest.New("ann", sid))
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range managers {
			if _, err := m.Get(ctx, id); err != nil {
				b.Fatal(err)
			}
		}
		began := time.Now()
		if _, err := managers[i%3].Logout(ctx, session.Logout{Issuer: sessiontest.Issuer, SID: sid, IssuedAt: began}); err != nil {
			b.Fatal(err)
		}
		for _, m := range managers {
			for !errors.As(get(ctx, m, id), new(*session.Ended)) {
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

func get(ctx context.Context, m *session.Manager, id session.ID) error {
	_, err := m.Get(ctx, id)
	return err
}
