package exchange_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

// FuzzNeverWiderNeverLonger holds of any exchange that succeeds, for a workload or a user, with an actor
// token and may_act or without: what is minted carries no scope that was not held, and ends before
// everything that it rests on.
func FuzzNeverWiderNeverLonger(f *testing.F) {
	for seed := range uint64(600) {
		f.Add(seed)
	}
	b := newBroker(f)
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := newWish(seed)
		b.MaxLife = w.maxLife
		b.Subjects["x"] = func(context.Context, string) (exchange.Subject, error) { return w.subject(), nil }
		b.Subjects["y"] = func(context.Context, string) (exchange.Subject, error) {
			return exchange.Subject{Workload: identity.Workload{ID: w.caller, NotAfter: w.began.Add(w.actor)}}, nil
		}
		issued, err := b.Exchange(asFor(t, w.caller, w.svid), w.request())
		if err != nil {
			return
		}
		claims := b.read(t, string(issued.Token.Reveal()), "ledger")
		for _, s := range claims.Scope {
			if !w.held(s) {
				t.Errorf("seed %d: %q was not held", seed, s)
			}
		}
		if first := w.firstEnd(); claims.Expiry.After(first) || !claims.Expiry.Equal(issued.Expiry) {
			t.Errorf("seed %d: ends at %s, after %s", seed, claims.Expiry, first)
		}
		if w.forUser != (claims.User != nil) || w.mayAct != nil && w.mayAct.Subject != w.caller.String() {
			t.Errorf("seed %d: %+v for %+v", seed, claims, w)
		}
	})
}

// wish is one exchange that somebody might ask for.
type wish struct {
	began                       time.Time
	caller                      spiffeid.ID
	has, asked                  []string
	svid, proof, actor, maxLife time.Duration
	limited, delegated, forUser bool
	withActor                   bool
	mayAct                      *exchange.MayAct
}

func newWish(seed uint64) *wish {
	r := rand.New(rand.NewPCG(seed, 1)) // the seed is the point
	some := func() []string {
		return slices.DeleteFunc([]string{"read", "write", "admin", "root"}, func(string) bool { return r.IntN(2) == 0 })
	}
	life := func() time.Duration { return time.Duration(r.IntN(600)-5) * time.Second / 2 }
	w := &wish{
		began: time.Now(), caller: ordersID, has: some(), asked: some(), svid: life(), proof: life(), actor: life(),
		maxLife: time.Duration(r.IntN(500)) * time.Second, limited: r.IntN(2) == 0, delegated: r.IntN(3) > 0,
	}
	if w.delegated {
		w.caller, w.forUser, w.withActor = inventoryID, r.IntN(2) == 0, r.IntN(2) == 0
	}
	if w.delegated && r.IntN(3) == 0 {
		w.mayAct = &exchange.MayAct{Subject: []string{inventoryID.String(), ordersID.String()}[r.IntN(2)]}
	}
	return w
}

func (w *wish) subject() exchange.Subject {
	s := exchange.Subject{Limited: w.limited, Scope: w.has, MayAct: w.mayAct}
	if w.forUser {
		s.User = &identity.User{Issuer: idp, Subject: "ada", NotAfter: w.began.Add(w.proof)}
	} else {
		s.Workload = identity.Workload{ID: ordersID, NotAfter: w.began.Add(w.proof)}
	}
	return s
}

func (w *wish) request() exchange.Request {
	req := exchange.Request{Audience: []string{"ledger"}, Scope: w.asked}
	if w.delegated {
		req.SubjectToken, req.SubjectTokenType = secret.FromString("x"), "x"
	}
	if w.withActor {
		req.ActorToken, req.ActorTokenType = secret.FromString("y"), "y"
	}
	return req
}

func (w *wish) held(scope string) bool {
	return slices.Contains([]string{"read", "write", "admin"}, scope) && (len(w.asked) == 0 || slices.Contains(w.asked, scope)) &&
		(!w.delegated || !w.limited || slices.Contains(w.has, scope))
}

func (w *wish) firstEnd() time.Time {
	ends := []time.Time{time.Now().Add(token.MaxLife), time.Now().Add(w.svid)}
	if w.delegated {
		ends = append(ends, w.began.Add(w.proof))
	}
	if w.withActor {
		ends = append(ends, w.began.Add(w.actor))
	}
	if w.maxLife > 0 {
		ends = append(ends, time.Now().Add(w.maxLife))
	}
	return slices.MinFunc(ends, time.Time.Compare)
}
