package broker

import (
	"context"
	"net/http"
	"sync"

	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
)

// limiter bounds the calls that one caller may have in flight. Who is over the bound is answered at once
// instead of queued: a queue hides the overload from the one who causes it and shares it with everyone
// else.
type limiter struct {
	max int

	mu       sync.Mutex
	inFlight map[string]int
}

func newLimiter(most int) *limiter { return &limiter{max: most, inFlight: map[string]int{}} }

// enter counts one call of the context's principal; leave must be called when it ends.
func (l *limiter) enter(ctx context.Context) (leave func(), err error) {
	p, ok := identity.FromContext(ctx)
	if !ok {
		return nil, fault.New(fault.Unauthenticated, "", "no identity was proven")
	}
	caller := p.Subject()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inFlight[caller] >= l.max {
		return nil, fault.Newf(fault.Overloaded, "IN_FLIGHT_LIMIT", "%d calls of this caller are in flight already", l.max)
	}
	l.inFlight[caller]++
	return func() { l.leave(caller) }, nil
}

func (l *limiter) leave(caller string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inFlight[caller]--; l.inFlight[caller] <= 0 {
		delete(l.inFlight, caller)
	}
}

func (l *limiter) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	leave, err := l.enter(ctx)
	if err != nil {
		return nil, fault.Status(err).Err()
	}
	defer leave()
	return next(ctx, req)
}

func (l *limiter) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	leave, err := l.enter(ss.Context())
	if err != nil {
		return fault.Status(err).Err()
	}
	defer leave()
	return next(srv, ss)
}

func (l *limiter) http(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, err := l.enter(r.Context())
		if err != nil {
			fault.WriteProblem(w, err)
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}
