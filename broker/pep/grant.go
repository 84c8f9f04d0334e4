package pep

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
)

// outcomeTimeout bounds how long an act's end waits for the log.
const outcomeTimeout = 10 * time.Second

// Grant is an allowed act. Only a Point makes one.
type Grant struct {
	// Principal is who was allowed, and Action and Resource what.
	Principal identity.Principal
	Action    string
	Resource  policy.Entity
	// Decision is what policy answered, with its revision.
	Decision policy.Decision
	// ID is the decision's id in the audit log.
	ID string

	point     *Point
	about     map[string]any
	trace     string
	began     time.Time
	done      sync.Once
	withdrawn sync.Once
}

// subject is who asks, also when it is nobody.
func (g *Grant) subject() string {
	if g.Principal.IsZero() {
		return ""
	}
	return g.Principal.Subject()
}

// Outcome is what became of an act.
type Outcome struct {
	// Credential and Version are what was handed out or put into a request; empty where there was none. Several
	// at once are written as name@version with commas between, and have no Version.
	Credential string
	Version    uint64
	// Bytes went through, in both directions.
	Bytes int64
	// Why is what the caller said it is for; empty where it said nothing.
	Why string
	// Err is nil when the act did what it was to do. The log gets its kind, never its text.
	Err error
}

// The results of an act beside the kinds of faults.
const (
	resultOK       = "ok"
	resultCanceled = "canceled" // the caller went away
)

func (o Outcome) result() string {
	switch {
	case o.Err == nil:
		return resultOK
	case errors.Is(o.Err, context.Canceled):
		return resultCanceled
	default:
		return fault.KindOf(o.Err).String()
	}
}

// Done records what became of the act. Only the first call counts, so that it can stand in a
// defer; on nil it does nothing. The
// caller's context may have ended by then, which is no reason not to write; that the record could not be
// written cannot undo the act, and is logged and counted.
func (g *Grant) Done(o Outcome) {
	if g != nil && g.point != nil {
		g.done.Do(func() { g.finish(o) })
	}
}

func (g *Grant) finish(o Outcome) {
	p := g.point
	now := p.now()
	ctx, cancel := context.WithTimeout(context.Background(), outcomeTimeout)
	defer cancel()
	err := p.Recorder.Record(ctx, audit.Event{
		Decision: g.ID, Kind: audit.KindOutcome, Time: now, Trace: g.trace, Credential: o.Credential, Version: o.Version,
		Result: o.result(), Bytes: o.Bytes, Duration: now.Sub(g.began), Why: o.Why,
	})
	p.Metrics.finished(g, o.result(), err)
	if err != nil {
		p.log().Error("an outcome is not in the audit log", "decision", g.ID, "result", o.result(), "error", err)
	}
}
