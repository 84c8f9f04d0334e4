package exchange_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

// FuzzNeverWiderNeverLonger holds of any exchange that succeeds: what is minted carries no scope that
// was not held, and ends before everything that it rests on.
func FuzzNeverWiderNeverLonger(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	b := newBroker(f)
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1)) // the seed is the point
		words := []string{"read", "write", "admin", "root"}
		some := func() []string {
			return slices.DeleteFunc(slices.Clone(words), func(string) bool { return r.IntN(2) == 0 })
		}
		life := func() time.Duration { return time.Duration(r.IntN(600)-5) * time.Second / 2 }
		held, asked, svid, proof := some(), some(), life(), life()
		limited, started := r.IntN(2) == 0, time.Now()
		b.MaxLife = time.Duration(r.IntN(500)) * time.Second
		b.Subjects["x"] = func(context.Context, string) (exchange.Subject, error) {
			s := exchange.Subject{Limited: limited, Scope: held}
			s.Workload.ID, s.Workload.NotAfter = ordersID, started.Add(proof)
			return s, nil
		}
		caller, req := ordersID, exchange.Request{Audience: []string{"ledger"}, Scope: asked}
		delegated := r.IntN(3) > 0
		if delegated {
			caller, req.SubjectToken, req.SubjectTokenType = inventoryID, secret.FromString("x"), "x"
		}
		issued, err := b.Exchange(asFor(t, caller, svid), req)
		if err != nil {
			return
		}
		claims := b.read(t, string(issued.Token.Reveal()), "ledger")
		for _, s := range claims.Scope {
			if !slices.Contains([]string{"read", "write", "admin"}, s) || len(asked) > 0 && !slices.Contains(asked, s) || delegated && limited && !slices.Contains(held, s) {
				t.Errorf("seed %d: %q was not held", seed, s)
			}
		}
		ends := []time.Time{time.Now().Add(token.MaxLife), time.Now().Add(svid)}
		if delegated {
			ends = append(ends, started.Add(proof))
		}
		if b.MaxLife > 0 {
			ends = append(ends, time.Now().Add(b.MaxLife))
		}
		if first := slices.MinFunc(ends, time.Time.Compare); claims.Expiry.After(first) || !claims.Expiry.Equal(issued.Expiry) {
			t.Errorf("seed %d: ends at %s, after %s", seed, claims.Expiry, first)
		}
	})
}
