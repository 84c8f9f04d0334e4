package localapi

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/time/rate"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/sidecar/cache"
)

// Config is what the door needs.
type Config struct {
	// Client reaches the brokers. Required.
	Client *client.Client
	// Bundles verify services that show SVIDs. Required.
	Bundles x509bundle.Source
	// Upstreams says who the services are that we call ourselves; the zero value accepts SVIDs of our own
	// trust domain and certificates of the system's authorities.
	Upstreams Upstreams
	// Stale bounds the staleness budgets of all services; zero means that the service files alone do.
	Stale time.Duration
	// Hold is what is held from the start, used or not; the zero value is nothing.
	Hold Hold
	// Logger is told of failures, at a bounded rate; nil means nobody is.
	Logger *slog.Logger
	// Metrics and CacheMetrics may be nil.
	Metrics      *Metrics
	CacheMetrics *cache.Metrics
}

func (c Config) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// API is the application's side of the sidecar. It is safe for concurrent use.
type API struct {
	cfg      Config
	services services
	tokens   *cache.Cache[tokenKey, token]
	leases   *cache.Cache[string, lease]
	buffers  buffers
	quiet    *log.Logger
	logs     *rate.Limiter
}

// New returns an API that knows no services yet; [API.Run] learns them. Close it.
func New(cfg Config) (*API, error) {
	if cfg.Client == nil || cfg.Bundles == nil {
		return nil, errors.New("localapi: Client and Bundles are needed")
	}
	a := &API{cfg: cfg, logs: rate.NewLimiter(5, 20), quiet: log.New(discard{}, "", 0)}
	a.services.api = a
	a.tokens = cache.New(tokenSource{a}, cache.Config{Name: "tokens", Metrics: cfg.CacheMetrics})
	a.leases = cache.New(leaseSource{a}, cache.Config{Name: "credentials", Metrics: cfg.CacheMetrics})
	a.rehold()
	return a, nil
}

// Run keeps the list of services until ctx ends.
func (a *API) Run(ctx context.Context) error {
	for list, err := range a.cfg.Client.WatchServices(ctx) {
		if err != nil {
			a.services.lost(time.Now())
			a.warn(ctx, "no list of services", err)
			continue
		}
		a.services.take(list)
		a.rehold()
		a.cfg.logger().InfoContext(ctx, "services", "revision", list.GetRevision(), "services", len(list.GetServices()))
	}
	return nil
}

// Close drops what is cached.
func (a *API) Close() error {
	a.tokens.Close()
	a.leases.Close()
	return nil
}

// Handler returns the door that is reached under the given address: host:port for TCP, empty for a Unix
// socket. hosts are further names of it.
func (a *API) Handler(address string, hosts ...string) http.Handler {
	n := names{hosts: hosts}
	if host, port, ok := splitHost(address); ok {
		n.hosts, n.port = append(n.hosts, host), port
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if service, err := a.serve(w, r, n); err != nil {
			a.refuse(w, r, service, err)
		}
	})
}

// serve answers r, or returns why not.
func (a *API) serve(w http.ResponseWriter, r *http.Request, n names) (service string, err error) {
	if err := fromBrowser(r.Header); err != nil {
		return "", err
	}
	withoutOffer(r)
	to, err := n.target(r)
	if err != nil {
		return "", err
	}
	if to.service == "" {
		return "", a.own(w, r, to.path)
	}
	rt, err := a.services.find(to.service, time.Now())
	if err != nil {
		return to.service, err
	}
	return to.service, rt.serve(w, r, to.path)
}

// refuse answers with err. Our log has the cause, which the answer has not.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, service string, err error) {
	a.cfg.Metrics.refused(err)
	if r.Context().Err() == nil {
		a.warn(r.Context(), "refused", err, "service", service)
	}
	writeFailure(w, r, err)
}

func (a *API) warn(ctx context.Context, msg string, err error, args ...any) {
	if a.logs.Allow() {
		f := fault.From(err)
		a.cfg.logger().WarnContext(ctx, msg, append(args, "code", f.Code(), "decision", f.Decision, "error", f)...)
	}
}

// unlisted is the staleness budget of what belongs to no service that we know.
const unlisted = 10 * time.Minute

// budget is the staleness budget of what belongs to rt, which may be nil.
func (a *API) budget(rt *route) time.Duration {
	budget := unlisted
	if rt != nil {
		budget = rt.stale()
	}
	if a.cfg.Stale > 0 {
		budget = min(a.cfg.Stale, budget)
	}
	return budget
}

// trustDomains are those whose SVIDs services may show.
func (a *API) trustDomains() []spiffeid.TrustDomain {
	if len(a.cfg.Upstreams.TrustDomains) > 0 {
		return a.cfg.Upstreams.TrustDomains
	}
	return []spiffeid.TrustDomain{a.cfg.Client.Conn().SVID().ID.TrustDomain()}
}

// buffers are those through which bodies are copied; without them each answer would allocate one.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// discard is for what net/http says of applications and services that go away.
type discard struct{}

// Write implements io.Writer.
func (discard) Write(p []byte) (int, error) { return len(p), nil }
