package localapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// route is the way to one service.
type route struct {
	api   *API
	spec  *intercomv1.Service
	base  *url.URL // for inject: the service's name as host
	dial  []netip.Prefix
	proxy *httputil.ReverseProxy // nil for vend, and for token services without an upstream
	up    *upstream              // for token services
	err   error                  // why the broker's entry cannot be used
}

// newRoute never fails: one entry that cannot be used must not take the others away.
func (a *API) newRoute(spec *intercomv1.Service) *route {
	rt := &route{api: a, spec: spec}
	switch spec.GetMode() {
	case intercomv1.Mode_MODE_INJECT:
		rt.base = &url.URL{Scheme: "http", Host: spec.GetName()}
		rt.proxy = rt.newProxy(injectTrip{rt})
	case intercomv1.Mode_MODE_TOKEN:
		if spec.GetUrl() == "" {
			break
		}
		if rt.err = rt.parse(); rt.err == nil {
			rt.up = newUpstream(rt)
			rt.proxy = rt.newProxy(tokenTrip{rt})
		}
	}
	if rt.err != nil {
		a.cfg.logger().Error("an entry in the broker's list of services cannot be used", "service", spec.GetName(), "error", rt.err)
	}
	return rt
}

func (rt *route) parse() (err error) {
	unusable := func(err error) error {
		return fault.New(fault.Internal, "BAD_ENTRY", "the broker's entry for this service cannot be used; the sidecar's log says why").Because(err)
	}
	if rt.base, err = url.Parse(rt.spec.GetUrl()); err != nil {
		return unusable(err)
	}
	if (rt.base.Scheme != "http" && rt.base.Scheme != "https") || rt.base.Host == "" {
		return unusable(url.InvalidHostError(rt.spec.GetUrl()))
	}
	rt.base.Path, rt.base.RawPath = strings.TrimSuffix(rt.base.EscapedPath(), "/"), ""
	for _, text := range rt.spec.GetDial() {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return unusable(err)
		}
		rt.dial = append(rt.dial, p)
	}
	return nil
}

func (rt *route) name() string { return rt.spec.GetName() }

// bound reports whether the service's tokens are bound to our SVID. What the broker left open is bound:
// a bearer token must be said to be one.
func (rt *route) bound() bool { return rt.spec.GetBind() != intercomv1.Bind_BIND_NONE }

func (rt *route) stale() time.Duration { return rt.spec.GetStale().AsDuration() }

func (rt *route) close() {
	if rt.up != nil {
		rt.up.close()
	}
}

// serve sends r to the service, under the canonical path.
func (rt *route) serve(w http.ResponseWriter, r *http.Request, path string) error {
	switch {
	case rt.err != nil:
		return rt.err
	case rt.spec.GetMode() == intercomv1.Mode_MODE_VEND:
		return fault.Newf(fault.InvalidRequest, "VEND_SERVICE",
			"service %q is not called through here: ask GET /v1/credential?name=%s and call it yourself", rt.name(), url.QueryEscape(rt.spec.GetCredential()))
	case rt.proxy == nil:
		return rt.noUpstream(r.Context())
	}
	to, err := rt.url(path, r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.InvalidRequest, "BAD_REQUEST", "the path cannot be read").Because(err)
	}
	out := new(http.Request)
	*out = *r
	out.URL = to
	defer sendHead(w)
	rt.proxy.ServeHTTP(w, out)
	return nil
}

// sendHead lets the application see the status and header of an answer whose body broke: ReverseProxy ends
// such an answer by a panic, at which net/http drops what it has not yet written.
func sendHead(w http.ResponseWriter) {
	cut := recover()
	if cut == nil {
		return
	}
	if err, ok := cut.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		_ = http.NewResponseController(w).Flush() // whose application is gone needs nothing
	}
	panic(cut)
}

// noUpstream says why there is nothing to call. The broker tells where a service is only to those who may
// have a token for it, so it is asked for one: a refusal comes with the decision that explains it.
func (rt *route) noUpstream(ctx context.Context) error {
	if _, err := rt.api.tokens.Get(ctx, rt.key(rt.api.cfg.Client.Conn())); err != nil {
		return err
	}
	return fault.Newf(fault.InvalidRequest, "NO_UPSTREAM",
		"the broker names no upstream for service %q: ask GET /v1/token?audience=%s and call it yourself", rt.name(), url.QueryEscape(rt.spec.GetAudience()))
}

// url is where path is found at the service. The query is the service's to read, and stays as it is.
func (rt *route) url(path, query string) (*url.URL, error) {
	u := &url.URL{Scheme: rt.base.Scheme, Host: rt.base.Host, RawQuery: query}
	full := rt.base.Path + path
	if !strings.Contains(full, "%") {
		u.Path = full
		return u, nil
	}
	var err error
	u.RawPath = full
	u.Path, err = url.PathUnescape(full)
	return u, err
}

func (rt *route) newProxy(trip http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        rt.rewrite,
		Transport:      trip,
		ModifyResponse: rt.answered,
		ErrorHandler:   rt.failed,
		BufferPool:     &rt.api.buffers,
		ErrorLog:       rt.api.quiet,
	}
}

// rewrite builds the outgoing header from nothing. What ReverseProxy took over itself are the fields of an
// upgrade, which was checked to be one to websocket.
func (rt *route) rewrite(pr *httputil.ProxyRequest) {
	h := make(http.Header, len(pr.In.Header)+1)
	hygiene.ForwardHeaders(h, pr.In.Header)
	if hygiene.IsUpgrade(pr.In) {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	pr.Out.Header = h
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // ReverseProxy leaves out what it cannot parse
	pr.Out.Host = ""                         // the URL's
}

// answered drops what a service may not tell the application's side through us: cookies, for which nobody
// keeps a jar here, and the offer to come back by another way.
func (rt *route) answered(resp *http.Response) error {
	delete(resp.Header, "Set-Cookie")
	delete(resp.Header, "Alt-Svc")
	rt.api.cfg.Metrics.answered(rt.spec.GetMode(), resp.StatusCode)
	return nil
}

// failed answers in place of the service. ReverseProxy calls it also when the application is gone: then
// nobody reads the answer.
func (rt *route) failed(w http.ResponseWriter, r *http.Request, err error) {
	rt.api.refuse(w, r, rt.name(), err)
}
