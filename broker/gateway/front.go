package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/logout"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// handler is the front door: our own paths below the prefix, and the services everywhere else.
func (g *Gateway) handler() http.Handler {
	own := http.NewServeMux()
	g.login().Mount(own)
	g.out = g.logout()
	g.out.Mount(own)
	if g.parts.own != nil {
		own.Handle("GET "+g.cfg.prefix()+"/jwks", g.parts.own)
	}
	own.HandleFunc("GET "+g.cfg.prefix()+"/ready", g.ready)
	services := g.services()
	services.Mount(own)
	ours := canonical(own, services.Refuse)
	prefix := g.cfg.prefix() + "/"
	dispatch := func(w http.ResponseWriter, r *http.Request) {
		// Not by one ServeMux: it would redirect a service's request to what it takes for a cleaner path.
		if strings.HasPrefix(r.URL.Path, prefix) {
			secure(w.Header())
			ours.ServeHTTP(w, r)
			return
		}
		services.ServeHTTP(w, r)
	}
	return recovered(g.parts.log(), g.parting(g.transport(trust(g.cfg.TrustedProxies, http.HandlerFunc(dispatch)))))
}

// canonical refuses what has more than one reading, as the way to the services does by itself: ServeMux would lead
// a path with dots to another one, and with 307, which repeats a body. What is not there is refused in our words, not
// in ServeMux'.
func canonical(next *http.ServeMux, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := hygiene.CheckRequest(r)
		_, pattern := next.Handler(r)
		switch {
		case errors.Is(err, hygiene.ErrMethod):
			refuse(w, r, fault.New(fault.Unsupported, bff.ReasonMethod, "the method is not served here"))
		case err != nil:
			refuse(w, r, fault.New(fault.InvalidRequest, "request_refused", err.Error()))
		case pattern != "":
			next.ServeHTTP(w, r)
		default:
			refuse(w, r, unserved(w, r, next))
		}
	})
}

// unserved says whether nothing is at r's path, or something for another method.
func unserved(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != "" {
			w.Header().Set("Allow", method)
			return fault.New(fault.Unsupported, bff.ReasonMethod, "the method is not served here")
		}
	}
	return fault.New(fault.NotFound, "route_unknown", "nothing is served here")
}

// secure is what every answer of our own says, until its handler says it better: nothing may be loaded or
// framed, and no address leaves (RFC 9700, section 4.16).
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// hsts lasts two years. Sub-domains are others' (RFC 6797, section 6.1).
const hsts = "max-age=63072000"

// transport says that the origin is reached over TLS only, where it is. Services may not say so themselves: the
// origin is shared.
func (g *Gateway) transport(next http.Handler) http.Handler {
	origins := g.cfg.origins()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o, ok := origins.Of(r); ok && o.Secure() {
			w.Header()["Strict-Transport-Security"] = []string{hsts}
		}
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic, a mistake of ours, into the failure of the one request that met it. Its answer may have
// begun, so it is broken off: what is missing must not look whole.
func recovered(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler { //nolint:errorlint,err113 // net/http compares it so
				log.ErrorContext(r.Context(), "a handler panicked", "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}

func (g *Gateway) login() *login.Handler {
	c, p := g.cfg, g.parts
	return &login.Handler{
		Provider: p.provider, Sessions: p.sessions, Store: p.logins, Pages: p.pages, Origins: c.origins(), Prefix: c.prefix(),
		Claims: c.Provider.Claims, Groups: c.Provider.Groups, Lax: c.Sessions.isLax(), Starts: &login.Starts{}, Log: p.log(),
	}
}

func (g *Gateway) logout() *logout.Handler {
	c, p := g.cfg, g.parts
	return &logout.Handler{
		Provider: p.provider, Sessions: p.sessions, Pages: p.pages, Origins: c.origins(), Prefix: c.prefix(),
		Cookie: login.Cookie, Forget: login.Forget, ReturnTo: login.ReturnTo, HeaderCSRF: bff.HeaderCSRF,
		Share: bff.AddCORS, Preflight: bff.Preflight,
		PublicName: func(id session.ID) string { return bff.PublicID([]byte(id.Cookie())) },
		CheckCSRF: func(r *http.Request, o route.Origin, id session.ID, token string) error {
			return bff.CheckCSRF(r, o, id, token)
		},
		FrontChannel: c.Provider.FrontChannel, Failures: &logout.Failures{}, Leaving: g.draining, Log: p.log(),
	}
}
