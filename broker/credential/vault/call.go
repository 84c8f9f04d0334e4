package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/vault/api"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom-broker/intercom/broker/fault"
)

// request is one request to Vault.
type request func(ctx context.Context, v *api.Logical) (*api.Response, error)

// caller sends requests, bounds them, and puts their failures into our words.
type caller struct {
	timeout time.Duration
	tracer  trace.Tracer
	metrics *Metrics
}

// send sends one request, once. op names it in traces, metrics and logs; into takes the answer's JSON
// unless it is nil.
func (c *caller) send(ctx context.Context, client *api.Client, op string, r request, into any) error {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	bounded, span := c.tracer.Start(bounded, "vault "+op, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	err := roundTrip(bounded, client, r, into)
	if err != nil {
		err = failure(ctx, op, err)
		span.SetStatus(codes.Error, outcome(err))
	}
	c.metrics.sent(op, err)
	return err
}

func roundTrip(ctx context.Context, client *api.Client, r request, into any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	resp, err := r(ctx, client.Logical())
	if resp != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil || into == nil {
		return err
	}
	data, err := io.ReadAll(resp.Body) // no more than maxAnswer, see guard
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", errForeign, err)
	}
	return nil
}

// do sends a request with our login. A login that turns out to be dead is replaced, and the request is
// sent a second time; Vault did nothing about the first.
func (s *Store) do(ctx context.Context, op string, r request, into any) error {
	l, err := s.session.current(ctx)
	if err != nil {
		return err
	}
	err = s.caller.send(ctx, l.data, op, r, into)
	if !is(err, ReasonPermissionDenied) || s.session.confirm(ctx, l) {
		return err
	}
	if l, err = s.session.await(ctx, l); err != nil {
		return err
	}
	return s.caller.send(ctx, l.data, op, r, into)
}

// outcome is what stands in metrics and traces.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errNotFound):
		return "not_found"
	case errors.Is(err, errConflict):
		return ReasonConflict
	default:
		return fault.From(err).Code()
	}
}
