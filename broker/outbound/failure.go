package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
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

// ErrUnasked is a service's switch to another protocol that nobody asked for: it would get a tunnel.
const ErrUnasked hygiene.Error = "the upstream switched protocols unasked"

// Failure returns what a [http.Transport] or a response's body failed with as the service's failure. The
// message names the side that failed and no address.
func Failure(err error) *fault.Error {
	reason, message := reasonOf(err)
	kind := fault.Unavailable
	if reason == ReasonTimeout {
		kind = fault.Timeout
	}
	return fault.New(kind, reason, message).Because(err)
}

// BadBody is the failure of a caller whose body ended early.
func BadBody(err error) *fault.Error {
	return fault.New(fault.InvalidRequest, ReasonBody, "the request's body could not be read to its end").Because(err)
}

// Gone wraps context.Canceled, by which the audit log tells it from a failure.
func Gone() *fault.Error {
	return fault.New(fault.Timeout, ReasonGone, "the caller did not wait for the answer").Because(context.Canceled)
}

func reasonOf(err error) (reason, message string) {
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

// IsUpstream reports whether e is the failure of a service, or of the way to it.
func IsUpstream(e *fault.Error) bool {
	return (e.Kind == fault.Unavailable || e.Kind == fault.Timeout) && strings.HasPrefix(e.Reason, "UPSTREAM_")
}
