package mtls

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/time/rate"
)

// reason is why a connection was refused: a label of the metrics, so the set is closed.
type reason string

const (
	noCertificate reason = "no_certificate"
	badSVID       reason = "bad_svid"       // no SVID, or not signed by its domain's authorities
	expired       reason = "expired"        // or not valid yet
	unknownDomain reason = "unknown_domain" // no bundle for it
	foreignDomain reason = "foreign_domain" // a bundle, but it is not allowed by name
	unauthorized  reason = "unauthorized"   // refused by another authorizer
	noHTTP2       reason = "no_http2"       // gRPC without ALPN
	timedOut      reason = "timeout"
	wentAway      reason = "went_away"
	overLimit     reason = "over_limit"
	otherwise     reason = "handshake" // whatever crypto/tls found
)

// refusal is an error of VerifyConnection that remembers its reason.
type refusal struct {
	reason reason
	id     spiffeid.ID // the zero ID when the peer named none
	err    error
}

// refuse keeps the reason of an error that is a refusal already.
func refuse(why reason, id spiffeid.ID, err error) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return &refusal{reason: why, id: id, err: err}
}

// Error implements error.
func (r *refusal) Error() string { return "mtls: " + r.err.Error() }

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.err }

// asRefusal classifies what a handshake returned.
func asRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	why := otherwise
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		why = timedOut
	case isGone(err):
		why = wentAway
	}
	return &refusal{reason: why, err: err}
}

// isGone reports whether the peer, or the door itself, was closed in the middle.
func isGone(err error) bool {
	for _, gone := range []error{io.EOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed, context.Canceled} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// Refusals are logged at this rate, each line with the number of those before it that were not: whoever
// can reach the port can cause them.
const (
	logsPerSecond = 5
	logBurst      = 20
)

// reporter counts and logs refusals.
type reporter struct {
	door     string
	metrics  *Metrics
	logger   *slog.Logger
	limit    *rate.Limiter
	unlogged atomic.Int64
}

func newReporter(cfg Config) *reporter {
	return &reporter{door: cfg.Name, metrics: cfg.Metrics, logger: cfg.Logger, limit: rate.NewLimiter(logsPerSecond, logBurst)}
}

func (p *reporter) refused(peer net.Addr, err error) {
	r := asRefusal(err)
	p.metrics.refused(p.door, r)
	p.log("connection refused", peer, r)
}

func (p *reporter) log(what string, peer net.Addr, r *refusal) {
	if !p.limit.Allow() {
		p.unlogged.Add(1)
		return
	}
	attrs := []slog.Attr{
		slog.String("door", p.door), slog.String("peer", peer.String()), slog.String("reason", string(r.reason)),
		slog.String("error", r.err.Error()), slog.Int64("unlogged", p.unlogged.Swap(0)),
	}
	if !r.id.IsZero() {
		attrs = append(attrs, slog.String("trust_domain", r.id.TrustDomain().Name()), slog.String("spiffe_id", r.id.String()))
	}
	level := slog.LevelWarn
	if r.reason == wentAway { // port scans and health checks of load balancers
		level = slog.LevelDebug
	}
	p.logger.LogAttrs(context.Background(), level, what, attrs...)
}
