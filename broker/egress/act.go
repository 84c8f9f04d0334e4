package egress

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// act is one request on its way: from the first look at it to the last byte of its stream. It is the
// context of its own upstream request, so that the one ReverseProxy of the door finds it again.
type act struct {
	context.Context // the caller's, with an end of ours
	handler         *Handler
	in              *http.Request
	began           time.Time
	writer          writer
	bytes           atomic.Int64          // of both bodies, or of the upgraded connection
	broken          atomic.Pointer[error] // why the request's body ended early
	upgraded        atomic.Bool
	span            trace.Span // nil unless sampled
	cancel          context.CancelCauseFunc

	target   target
	grant    *pep.Grant
	upstream *upstream
	outcome  pep.Outcome
	attempt            // what the upstream gets
	body     []byte    // where a signature wants it whole
	whole    bool      // it was read
	secrets  []string  // what must not come back
	room     [3]string // for the secrets of most credentials
	sent     requestBody
	received responseBody
}

type actKey struct{}

// Value implements [context.Context].
func (a *act) Value(key any) any {
	if key == (actKey{}) {
		return a
	}
	return a.Context.Value(key)
}

func actOf(r *http.Request) *act { return r.Context().Value(actKey{}).(*act) }

// serve goes the way of a request. What it returns was not answered yet.
func (a *act) serve() error {
	h := a.handler

	// 1. What is asked for, in the one form that is decided on and forwarded.
	path, err := hygiene.CheckRequest(a.in)
	if err != nil {
		return malformed(err)
	}
	if a.target, err = named(a.in, path); err != nil {
		return err
	}

	// 2. May they? From here on the decision is in the audit log.
	a.Context, a.cancel = context.WithCancelCause(a.trace(a.in.Context()))
	before := h.live.changes.Load()
	res := policy.Entity{Type: "service", ID: a.target.resource(a.in.Method)}
	if a.grant, err = h.cfg.Point.Check(a, policy.ActionCall, res); err != nil {
		return err
	}

	// 3. Where to: told only to those who may. From here on a change of policy reaches the act.
	if a.upstream, err = h.upstreams.get(h, a.target.service); err != nil {
		return err
	}
	if err := h.live.enter(a, before); err != nil {
		return err
	}
	if err := a.vetoed(a); err != nil {
		return err
	}

	// 4. With what: an empty header, what may travel, and the credential last.
	if err := a.buildHeader(); err != nil {
		return err
	}

	// 5. Stream.
	a.stream()
	return nil
}

// end records the outcome, also when the stream was aborted by a panic of net/http's own making.
func (a *act) end() {
	if a.cancel != nil {
		if cut, ok := errors.AsType[*fault.Error](context.Cause(a.Context)); ok {
			a.outcome.Err = cut
		}
		a.cancel(nil)
	}
	if a.grant != nil {
		a.handler.live.leave(a)
		a.outcome.Bytes = a.bytes.Load()
		a.outcome.Credential, a.outcome.Version = a.attempt.credentials()
		a.grant.Done(a.outcome)
	}
	a.handler.cfg.Metrics.ended(a, a.handler.cfg.Now().Sub(a.began))
	a.endSpan()
}

// label is the service's name where it is one of ours, and otherwise nothing: callers choose no labels.
func (a *act) label() string {
	if a.upstream == nil {
		return ""
	}
	return a.upstream.service.Name
}

func malformed(err error) error {
	if errors.Is(err, hygiene.ErrMethod) {
		return fault.New(fault.Unsupported, "METHOD_REFUSED", err.Error()+
			". There are no tunnels: name the service in the path, /{service}/…, or send the proxy an http:// URL")
	}
	return fault.New(fault.InvalidRequest, "REQUEST_REFUSED", err.Error())
}

// fetch returns what the store has for the service, if it may still be used.
func (a *act) fetch(name string) (credential.Served, error) {
	h := a.handler
	if h.cfg.Vender == nil {
		return credential.Served{}, fault.New(fault.Unavailable, "STORE_MISSING", "there is no credential store")
	}
	served, err := h.cfg.Vender.Fetch(a, credential.Name(name), a.upstream.service.Stale)
	if err != nil {
		return served, unavailable(err)
	}
	if !served.HardDeadline.IsZero() && !h.cfg.Now().Before(served.HardDeadline) {
		return served, fault.New(fault.Unavailable, "CREDENTIAL_STALE", "the service's credential is past its staleness budget")
	}
	a.note(name, served.Version)
	return served, nil
}

// unavailable keeps the store's words from being taken for the upstream's: a 404 of ours would be.
func unavailable(err error) error {
	e := fault.From(err)
	switch e.Kind {
	case fault.NotFound, fault.Denied, fault.InvalidRequest:
		return fault.New(fault.Unavailable, e.Code(), "the service's credential is not to be had").Because(err)
	default:
		return err
	}
}
