package egress

import (
	"context"
	"encoding/hex"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom-broker/intercom/broker/fault"
)

// trace puts the caller's trace into ctx, where the audit log finds its id, and begins a span when somebody
// will see it: for a trace that is sampled, or for one that begins here. It is done by hand because the
// instrumentation of net/http costs as much as a quarter of the proxying, sampled or not.
func (a *act) trace(ctx context.Context) context.Context {
	if a.in.Header["Traceparent"] != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(a.in.Header))
	}
	parent, tracer := trace.SpanContextFromContext(ctx), a.handler.cfg.Tracer
	if tracer == nil || parent.IsValid() && !parent.IsSampled() {
		return ctx
	}
	ctx, a.span = tracer.Start(ctx, "egress", a.handler.spans...)
	return ctx
}

// propagate names our span as the upstream's parent (W3C Trace Context, section 3.2). Without one the
// caller's fields travel as they came.
func (a *act) propagate(h http.Header) {
	if a.span == nil || !a.span.SpanContext().IsValid() {
		return
	}
	sc := a.span.SpanContext()
	trc, id := sc.TraceID(), sc.SpanID()
	var room [64]byte
	b := append(room[:0], "00-"...)
	b = hex.AppendEncode(b, trc[:])
	b = hex.AppendEncode(append(b, '-'), id[:])
	b = hex.AppendEncode(append(b, '-'), []byte{byte(sc.TraceFlags() & trace.FlagsSampled)})
	h["Traceparent"] = []string{string(b)}
}

func (a *act) endSpan() {
	if a.span == nil {
		return
	}
	defer a.span.End()
	if !a.span.IsRecording() {
		return
	}
	a.span.SetAttributes(attribute.String("intercom.service", a.label()), attribute.String("http.request.method", a.in.Method),
		attribute.Int("http.response.status_code", a.writer.status))
	if a.grant != nil {
		a.span.SetAttributes(attribute.String("intercom.decision", a.grant.ID))
	}
	if a.outcome.Err != nil {
		a.span.SetStatus(codes.Error, fault.From(a.outcome.Err).Code())
	}
}
