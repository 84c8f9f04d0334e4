package egress

import (
	"context"
	"errors"
	"net/http"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/outbound"
)

// The reasons for which a call that was allowed failed. All that begin with UPSTREAM are 502, or 504 for
// the timeout: the service's failures, or those of the way to it.
const (
	ReasonUnreachable = outbound.ReasonUnreachable
	ReasonUnresolved  = outbound.ReasonUnresolved
	ReasonDial        = outbound.ReasonDial
	ReasonTLS         = outbound.ReasonTLS
	ReasonTimeout     = outbound.ReasonTimeout
	ReasonBroken      = outbound.ReasonBroken
	ReasonBody        = outbound.ReasonBody
	ReasonGone        = outbound.ReasonGone
)

// fail is ReverseProxy's ErrorHandler.
func fail(_ http.ResponseWriter, r *http.Request, err error) {
	a := actOf(r)
	e := a.classify(err)
	if outbound.IsUpstream(e) {
		a.upstream.counters.failed(e.Reason)
	}
	a.refuse(e)
}

// classify finds out whose failure err is. The messages name the side that failed and no address.
func (a *act) classify(err error) *fault.Error {
	if cut, ok := errors.AsType[*fault.Error](context.Cause(a.Context)); ok {
		return cut
	}
	if body := a.broken.Load(); body != nil {
		return outbound.BadBody(*body)
	}
	if a.in.Context().Err() != nil {
		return outbound.Gone()
	}
	return outbound.Failure(err)
}
