package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// The reasons for which a call that was allowed failed. All that begin with UPSTREAM are 502, or 504 for
// the timeout: the service's failures, or those of the way to it.
const (
	ReasonUnreachable = "UPSTREAM_UNREACHABLE"  // no connection: refused, no route
	ReasonUnresolved  = "UPSTREAM_UNRESOLVED"   // DNS has no such name
	ReasonDial        = "UPSTREAM_DIAL_REFUSED" // the dial guard
	ReasonTLS         = "UPSTREAM_TLS"          // its certificate is not good, or it speaks no TLS
	ReasonTimeout     = "UPSTREAM_TIMEOUT"      // no connection, or no response head, in time
	ReasonBroken      = "UPSTREAM_BROKEN"       // it closed or reset the connection, or what it said is not HTTP
	ReasonBody        = "REQUEST_BODY"          // the caller's body ended early or is malformed
	ReasonGone        = "CALLER_GONE"           // the caller did not wait
)

const errUnasked hygiene.Error = "the upstream switched protocols unasked"

// fail is ReverseProxy's ErrorHandler.
func fail(_ http.ResponseWriter, r *http.Request, err error) {
	a := actOf(r)
	e := a.classify(err)
	if isUpstreamFault(e) || e.Reason == ReasonTimeout {
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
		return fault.New(fault.InvalidRequest, ReasonBody, "the request's body could not be read to its end").Because(*body)
	}
	if a.in.Context().Err() != nil {
		return gone()
	}
	reason, message := upstreamReason(err)
	kind := fault.Unavailable
	if reason == ReasonTimeout {
		kind = fault.Timeout
	}
	return fault.New(kind, reason, message).Because(err)
}

// gone wraps context.Canceled, by which the audit log tells it from a failure.
func gone() *fault.Error {
	return fault.New(fault.Timeout, ReasonGone, "the caller did not wait for the answer").Because(context.Canceled)
}

func upstreamReason(err error) (reason, message string) {
	var (
		dns     *net.DNSError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		network net.Error
		op      *net.OpError
	)
	switch {
	case errors.Is(err, hygiene.ErrDial):
		return ReasonDial, hygiene.ErrDial.Error()
	case errors.As(err, &verify), errors.As(err, &record), errors.As(err, &alert):
		return ReasonTLS, "the service's TLS is not good: its certificate is not trusted for its name, or it does not speak TLS"
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout, "the service did not answer in time"
	case errors.As(err, &dns):
		return ReasonUnresolved, "the service's name does not resolve"
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &op) && op.Op == "dial":
		return ReasonUnreachable, "the service cannot be reached"
	default:
		return ReasonBroken, "the service broke off before it had answered"
	}
}

func isUpstreamFault(e *fault.Error) bool {
	return e.Kind == fault.Unavailable && strings.HasPrefix(e.Reason, "UPSTREAM_")
}
