package mtls

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/intercom-broker/intercom/broker/drain"
)

// ListenHTTP returns a listener whose connections are verified *tls.Conn, as net/http wants them for
// HTTP/2 and Request.TLS, and are ended at their peer's notAfter. cfg.TLS names the protocols.
func ListenHTTP(l net.Listener, cfg Config) net.Listener { return newDoor(l, cfg.withDefaults()) }

// ServeHTTP serves srv on l until ctx ends, and then drains as package drain does, for at most grace; 0 means 10 s. l
// comes from ListenHTTP on bound; what wraps its connections has NetConn and ConnectionState, as *tls.Conn does. srv is
// changed: its ConnContext, ConnState and Handler are wrapped.
func ServeHTTP(ctx context.Context, bound, l net.Listener, srv *http.Server, grace time.Duration) error {
	if grace == 0 {
		grace = defaultGrace
	}
	srv.ConnContext = chain(srv.ConnContext)
	srv.Handler = RenewAtHalfLife(srv.Handler)
	return drain.Serve(ctx, srv, bound, l, grace)
}

func chain(outer func(context.Context, net.Conn) context.Context) func(context.Context, net.Conn) context.Context {
	if outer == nil {
		return ConnContext
	}
	return func(ctx context.Context, c net.Conn) context.Context { return ConnContext(outer(ctx, c), c) }
}

type connKey struct{}

// ConnContext is for http.Server.ConnContext: through it RenewAtHalfLife finds the connection of a request.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if life, ok := beneath(c); ok {
		return context.WithValue(ctx, connKey{}, life)
	}
	return ctx
}

// RenewAtHalfLife asks a connection to go with the first response after half of what remained of its
// peer's SVID: `Connection: close`, which HTTP/2 turns into a GOAWAY. A nil next is http.DefaultServeMux,
// as for http.Server.
func RenewAtHalfLife(next http.Handler) http.Handler {
	if next == nil {
		next = http.DefaultServeMux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An upgrade takes the connection away from HTTP; it ends at notAfter.
		if at := renewAt(r); !at.IsZero() && time.Now().After(at) && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func renewAt(r *http.Request) time.Time {
	if life, ok := r.Context().Value(connKey{}).(*lifeConn); ok {
		return life.renewAt()
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return time.Time{}
	}
	// Nobody set ConnContext, so nobody knows since when the connection is there: assume the longest.
	leaf := r.TLS.PeerCertificates[0]
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
}
