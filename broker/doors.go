package broker

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// Bounds of every door.
const (
	maxHead    = 32 << 10
	maxMessage = 128 << 10 // two tokens of 16 KiB and their JSON, many times over
	maxStreams = 250       // of one HTTP/2 connection

	maxAdminConns = 256
)

// readBuffer is above TLS, which has one of its own. Most of the mesh door's connections are sidecars that
// wait for a change: they hold a small buffer for reading.
const readBuffer = 4 << 10

// mesh returns the function that makes the mesh door's servers.
func (b *Broker) mesh(a *acts) func(...grpc.ServerOption) *grpc.Server {
	limit := b.limit
	log := b.parts.telemetry.Logger()
	return func(opts ...grpc.ServerOption) *grpc.Server {
		srv := grpc.NewServer(append(append(opts, b.parts.telemetry.GRPCServer()...),
			grpc.MaxRecvMsgSize(maxMessage), grpc.MaxHeaderListSize(maxHead), grpc.MaxConcurrentStreams(maxStreams),
			grpc.ReadBufferSize(readBuffer), grpc.WaitForHandlers(true),
			grpc.ChainUnaryInterceptor(recoverUnary(log), authn.UnaryInterceptor(), limit.unary),
			grpc.ChainStreamInterceptor(recoverStream(log), authn.StreamInterceptor(), limit.stream, checkReflection(b.parts.point)),
		)...)
		for _, d := range a.mesh() {
			d.Register(srv)
		}
		grpc_health_v1.RegisterHealthServer(srv, b.health)
		if b.cfg.Reflection {
			reflection.Register(srv)
		}
		return srv
	}
}

// checkReflection makes gRPC reflection an act like any other.
func checkReflection(p *pep.Point) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		if !strings.HasPrefix(info.FullMethod, "/grpc.reflection.") {
			return next(srv, ss)
		}
		grant, err := p.Check(ss.Context(), policy.ActionReflect, policy.Entity{Type: "grpc"})
		if err != nil {
			return fault.Status(err).Err()
		}
		defer func() { grant.Done(pep.Outcome{Err: err}) }()
		return next(srv, ss)
	}
}

// What comes from outside never ends the process: a panic in a handler is a mistake of ours, logged with
// its stack, and the caller's call fails.
func recoverUnary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
		defer recovered(log, info.FullMethod, &err)
		return next(ctx, req)
	}
}

func recoverStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		defer recovered(log, info.FullMethod, &err)
		return next(srv, ss)
	}
}

func recovered(log *slog.Logger, method string, err *error) {
	if r := recover(); r != nil {
		log.Error("a handler panicked", "method", method, "panic", fmt.Sprintf("%T", r), "stack", string(debug.Stack()))
		*err = fault.Status(fault.New(fault.Internal, "", "internal error")).Err()
	}
}

// shortServer is httpServer for doors whose requests have no body to speak of.
func (b *Broker) shortServer(h http.Handler) *http.Server {
	srv := b.httpServer(h)
	srv.ReadTimeout = 10 * time.Second
	return srv
}

// httpServer returns a server with the bounds that every HTTP door has. There is no write timeout:
// streams may last as long as the peer's SVID.
func (b *Broker) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: maxHead, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(b.parts.telemetry.Logger().Handler(), slog.LevelDebug),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
}

// egressDoor is the egress handler behind what every caller passes.
func (b *Broker) egressDoor(h http.Handler) http.Handler {
	return authn.HTTP(b.limit.http(h))
}

// webHandler is the web door. It opens before the signing key is published, because a Vault that verifies
// our JWT-SVID by our trust domain's keys may ask for them at that very moment; until then it has nothing
// else to say.
func (b *Broker) webHandler() http.Handler {
	early := b.webMux(nil, nil)
	starting := fault.New(fault.Unavailable, "STARTING", "the signing key is being published")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch whole := b.web.Load(); {
		case whole != nil:
			whole.ServeHTTP(w, r)
		case strings.HasSuffix(r.URL.Path, exchange.DomainKeysPath):
			early.ServeHTTP(w, r)
		case r.Method == http.MethodPost: // an OAuth client
			fault.WriteOAuth(w, starting)
		default:
			fault.WriteProblem(w, starting)
		}
	})
}

// webMux is what the web door serves. Without ring and oauth there is the trust domain to ask about.
func (b *Broker) webMux(ring *keyring.Ring, oauth *exchange.OAuth) *http.ServeMux {
	mux := http.NewServeMux()
	(&exchange.Web{
		Issuer:     b.cfg.Issuer.String(),
		Keys:       keys(ring),
		DomainKeys: func() ([]byte, error) { return b.parts.identity.JWTKeys(b.parts.identity.ID().TrustDomain()) },
		Plaintext:  b.cfg.Unsafe.WebPlaintext,
		MTLS:       b.cfg.Listen.Web.mtls(),
	}).Mount(mux)
	if oauth != nil {
		oauth.Mount(mux)
	}
	return mux
}

// keys returns the public keys of all replicas, as the shared store has them now.
func keys(ring *keyring.Ring) func() (set []byte, etag string) {
	return func() ([]byte, string) {
		ring.Refresh(context.Background()) // bounded by the ring's own timeout
		return ring.JWKS()
	}
}

// listen binds all doors, so that an address that is taken is an error of the start.
func (l Listen) listen(ctx context.Context) (_ map[string]net.Listener, err error) {
	bound := map[string]net.Listener{}
	defer func() {
		if err != nil {
			closeAll(bound)
		}
	}()
	var lc net.ListenConfig
	for name, address := range l.addresses() {
		if bound[name], err = lc.Listen(ctx, "tcp", address); err != nil {
			delete(bound, name)
			return nil, fmt.Errorf("listen.%s: %w", name, err)
		}
	}
	return bound, nil
}

func closeAll(bound map[string]net.Listener) {
	for _, l := range bound {
		l.Close()
	}
}

// door returns how a door of that name treats its connections.
func (b *Broker) door(name string) mtls.Config {
	return mtls.Config{
		Name: name, MaxConns: b.cfg.Limits.Connections, Grace: b.cfg.grace(),
		Updated: b.parts.identity.Updated, Logger: b.parts.telemetry.Logger(), Metrics: b.mtls,
	}
}
