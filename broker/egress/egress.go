package egress

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// Vender reads credentials; a *credential.Cache is one. What it returns is used until its HardDeadline
// and not after.
type Vender interface {
	Fetch(ctx context.Context, name credential.Name, stale time.Duration) (credential.Served, error)
	// Doubt says that what was fetched was not taken: the next Fetch asks the store.
	Doubt(name credential.Name)
}

// Minter mints tokens for an act that was allowed; a *exchange.Service is one.
type Minter interface {
	Mint(ctx context.Context, grant *pep.Grant, audience string, scope []string, cnf string) (secret.Value, time.Time, error)
}

// Changes tells of a new policy; a *policy.Engine does.
type Changes interface {
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
}

// Config configures a Handler.
type Config struct {
	// Point decides and records; required.
	Point *pep.Point
	// Services returns the services of now; required.
	Services func() *service.Catalog
	// Vender is asked for stored credentials; nil means that services which want one answer 503.
	Vender Vender
	// Minter is asked for tokens; nil means that services which want one answer 503.
	Minter Minter
	// Policy tells when streams are looked at again; nil means that they are not. Run must run for it.
	Policy Changes
	// RootCAs are who may vouch for https upstreams; nil means the system's. There is no way to vouch for
	// nobody.
	RootCAs *x509.CertPool
	// DialTimeout bounds connecting to an upstream, TLS included; 0 means 5 s.
	DialTimeout time.Duration
	// HeaderTimeout bounds the wait for an upstream's response head, after the request was sent; 0 means 60 s.
	HeaderTimeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of upstream failures and of streams that are cut; nil means nobody is.
	Logger *slog.Logger
	// Tracer makes a span for a request that is sampled; nil means that traceparent is passed on as it came.
	Tracer trace.Tracer
	// Metrics counts; nil means nobody does.
	Metrics *Metrics
}

func (cfg Config) withDefaults() Config {
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 5*time.Second)
	cfg.HeaderTimeout = cmp.Or(cfg.HeaderTimeout, time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// Handler is the egress door. It is safe for concurrent use.
type Handler struct {
	cfg       Config
	log       *log.Logger // what ReverseProxy says of itself
	proxy     *httputil.ReverseProxy
	spans     []trace.SpanStartOption
	upstreams upstreams
	tokens    tokens
	live      live
	doubts    pace
}

// New returns a Handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Point == nil || cfg.Services == nil {
		return nil, errors.New("egress: want a Point and Services")
	}
	cfg = cfg.withDefaults()
	h := &Handler{cfg: cfg, spans: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}}
	h.log = slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)
	h.proxy = h.newProxy()
	return h, nil
}

// ServeHTTP implements [http.Handler]. The Principal is in the request's context.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &act{handler: h, in: r, began: h.cfg.Now()}
	a.writer = writer{ResponseWriter: w, act: a}
	h.cfg.Metrics.began()
	defer a.end()
	if err := a.serve(); err != nil {
		a.refuse(err)
	}
}

// Run looks again at what is under way whenever the policy changes, and cuts what it no longer allows,
// until ctx ends. Then it cuts the upgraded connections.
func (h *Handler) Run(ctx context.Context) error {
	defer h.upstreams.close()
	defer h.live.close()
	for {
		var changed <-chan struct{}
		if h.cfg.Policy != nil {
			changed = h.cfg.Policy.Changed()
		}
		h.live.look(ctx)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
