package pep

import (
	"context"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/policy"
)

// manyActs bounds what an [Often] remembers; what is beyond it is written each time.
const manyActs = 1 << 16

// Often remembers for the minute which allowed acts are in the log already. An Act says what is alike, the caller and
// the user included. The zero Often is ready for use.
type Often[Act comparable] struct {
	mu     sync.Mutex
	minute time.Time
	acts   map[oftenKey[Act]]*often
}

// oftenKey is what one record speaks for. The policy's revision is in it: a yes of another policy is another
// answer.
type oftenKey[Act comparable] struct {
	act      Act
	revision string
}

// often is one record. Whoever comes while it is written waits for it: nothing is done before it is in the log.
type often struct {
	mu sync.Mutex
	id string // of the decision in the log; empty before it is there
}

// Check is [Point.Check] for acts that come many times over and change nothing, such as the reads of a page.
// Each is decided. A refusal is written as ever, and of those that are allowed one for each act, revision of the
// policy and minute, before the first of them; the others have its id, and no outcome of their own.
func (o *Often[Act]) Check(ctx context.Context, p *Point, act Act, action string, res policy.Entity) (*Grant, error) {
	g := p.question(ctx, action, res) // without an id: most get that of the one in the log
	if p.decide(ctx, g) != nil {
		return p.Check(ctx, action, res)
	}
	known := o.of(oftenKey[Act]{act, g.Decision.Revision}, g.began)
	if known == nil {
		return p.Check(ctx, action, res)
	}
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.id != "" {
		g.ID, g.point = known.id, nil // Done has nothing to write
		return g, nil
	}
	g, err := p.Check(ctx, action, res)
	if err == nil && g.Decision.Revision != "" {
		known.id = g.ID
	}
	return g, err
}

// of returns the place of a record, and nil when there are too many.
func (o *Often[Act]) of(key oftenKey[Act], now time.Time) *often {
	o.mu.Lock()
	defer o.mu.Unlock()
	if minute := now.Truncate(time.Minute); o.acts == nil || !minute.Equal(o.minute) {
		o.minute, o.acts = minute, map[oftenKey[Act]]*often{}
	}
	known := o.acts[key]
	if known == nil && len(o.acts) < manyActs {
		known = &often{}
		o.acts[key] = known
	}
	return known
}
