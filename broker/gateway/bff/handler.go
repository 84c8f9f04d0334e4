package bff

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// Handler leads requests of browsers to services. All fields without a default are required.
type Handler struct {
	Origins  route.Origins
	Table    func() *route.Table
	Sessions *session.Manager
	Provider *provider.Provider
	Pages    *page.Pages
	Proxy    *upstream.Proxy
	// Point decides and records.
	Point *pep.Point
	// Self is the gateway's own workload, whose rules stand beside the user's.
	Self func() identity.Workload
	// Minter is who asks our broker for users' tokens, the same one until our certificate is renewed.
	Minter func() *Minter
	// BrokerAudience is what the provider calls our broker: the user's token is exchanged for it, and that one
	// is the subject token when the broker mints. Empty: services that want a minted token are refused.
	BrokerAudience string
	// Password returns the password of a stored credential, for services that know users by Basic; nil refuses them.
	Password func(ctx context.Context, credential string) (secret.Value, error)
	// Refused is told of a credential that a service did not take; nil is told nothing.
	Refused func(credential string)
	// Inject sends a request through the broker's egress door, for services whose credential is injected; nil
	// refuses them.
	Inject http.RoundTripper
	// Cookie names an origin's session cookie.
	Cookie func(route.Origin) string
	// Forget takes an origin's session cookie back, when the session has expired.
	Forget func(http.ResponseWriter, route.Origin)
	// Trusted reports whether a request comes straight from a proxy whose word counts, which may ask on behalf of
	// browsers ([Handler.Mount], /authz); nil trusts nobody.
	Trusted func(*http.Request) bool
	// Prefix is where the gateway's own paths begin; empty means /bff.
	Prefix string
	// Claims are the claims that a page may see.
	Claims []string
	// Groups is the claim that lists the user's groups; empty means groups.
	Groups string
	// Draining is closed when streams should go to another gateway; nil never is.
	Draining <-chan struct{}
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	memory memory
	nonces nonces
	reads  pep.Often[read]
}

func (h *Handler) prefix() string { return cmp.Or(h.Prefix, "/bff") }

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

func (h *Handler) log() *slog.Logger {
	if h.Log != nil {
		return h.Log
	}
	return slog.New(slog.DiscardHandler)
}

// Minter asks our broker for tokens, as who holds one certificate.
type Minter struct {
	// Certificate is what tokens are bound to where a service wants that: it is shown to the service that gets them
	// (RFC 8705, section 3).
	Certificate *tls.Certificate
	// Mint asks for a token: for the audience, on behalf of whom the subject token names.
	Mint func(ctx context.Context, audience string, subject secret.Value) (token secret.Value, end time.Time, err error)
}

// visit is one request to a service.
type visit struct {
	*Handler
	w      http.ResponseWriter
	r      *http.Request
	origin route.Origin
	route  *route.Route
	path   string // as policy and the service see it
	id     session.ID
	held   bool // the browser has sent an id
	who    *session.Session
	grant  *pep.Grant
	minter *Minter // of the token that the service gets; nil where none is minted

	outcome pep.Outcome
}

// The reasons of refusals that pages act on, beside those of package session.
const (
	ReasonMethod = "method_not_allowed"
	ReasonLevel  = "login_level_required"
	ReasonPolicy = "policy_denied"
	// ReasonAway: the login provider does not answer, and what is asked for needs it.
	ReasonAway = "provider_unavailable"
)

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{Handler: h, w: w, r: r}
	v.origin, _ = h.Origins.Of(r) // before anything is refused, so that the page can read it
	if err := v.serve(); err != nil {
		v.refuse(err)
	}
}

// serve goes the way of a request. What it returns was not answered yet.
func (v *visit) serve() error {
	// 1. and 2. What is asked for, and where to.
	if err := v.lead(); err != nil {
		return err
	}
	// 3. May it be asked?
	if IsPreflight(v.r) {
		Preflight(v.w, v.r, v.origin, methods(v.route.Match))
		return nil
	}
	// 4. to 7. May they?
	if err := v.admit(); err != nil {
		return v.turnAway(err)
	}
	return v.turnAway(v.act()) // a refresh may find that the session has ended
}

// admit finds out who is asking, and whether they may. Only who is not logged in, or not well enough, is
// Unauthenticated.
func (v *visit) admit() error {
	// 4. Who is asking?
	if err := v.enter(); err != nil {
		return err
	}
	// 5. From where?
	if err := v.checkSource(); err != nil {
		return err
	}
	// 6. What does the route require?
	if err := v.require(v.route.Service.Browser.Require); err != nil {
		return err
	}
	// 7. May they?
	return v.check()
}

// checkSource refuses what another site has caused. Without a session there is nothing to borrow, but for a WebSocket:
// CORS does not keep other sites from reading it.
func (v *visit) checkSource() error {
	if v.who != nil {
		return CheckCSRF(v.r, v.origin, v.id, v.r.Header.Get(HeaderCSRF))
	}
	if from, ok := originOf(v.r); ok && hygiene.IsUpgrade(v.r) && !v.origin.Allows(from) {
		return fault.New(fault.Denied, ReasonOrigin, "requests from this origin are not allowed here")
	}
	return nil
}

// act does what was allowed, and records what became of it.
func (v *visit) act() error {
	defer func() { v.grant.Done(v.outcome) }()
	// 8. With what?
	header, err := v.header()
	if err != nil {
		v.outcome.Err = err
		return fault.WithDecision(err, v.grant.ID)
	}
	// 9. Stream.
	v.keep()
	v.stream(header)
	return nil
}

// keep does for the session what a request is to it: activity, and the occasion for a refresh that is due, also where
// the service gets no token. Else the session would end under a user who is there, and live on under one whom the
// provider has disabled.
func (v *visit) keep() {
	if v.who == nil {
		return
	}
	if v.Sessions.Due(v.who) {
		v.Sessions.Renew(v.r.Context(), *v.who, v.refresh)
	}
	if !v.route.Service.Browser.Pass.Passive {
		v.Sessions.Touch(*v.who)
	}
}

// lead names the path and the route.
func (v *visit) lead() error {
	// 1. What is asked for, in the one form that is decided on and forwarded.
	path, err := hygiene.CheckRequest(v.r)
	if errors.Is(err, hygiene.ErrMethod) {
		return fault.New(fault.Unsupported, ReasonMethod, err.Error())
	} else if err != nil {
		return fault.New(fault.InvalidRequest, "request_refused", err.Error())
	}
	// 2. Where to.
	if v.origin.URL == "" {
		return errOrigin()
	}
	method := v.r.Method
	if IsPreflight(v.r) {
		method = v.r.Header.Get("Access-Control-Request-Method")
	}
	found, others := v.Table().Find(v.r.Host, path, method)
	switch {
	case found != nil:
		v.route, v.path = found, upstream.Path(found.Service.Browser.Pass, path)
		return nil
	case len(others) > 0:
		v.w.Header()["Allow"] = []string{strings.Join(others, ", ")}
		return fault.New(fault.Unsupported, ReasonMethod, "the method is not served here")
	}
	return fault.New(fault.NotFound, "route_unknown", "nothing is served here")
}

// require holds what the route's file asks of the session.
func (v *visit) require(r service.Require) error {
	switch {
	case v.who == nil:
		return nil // step 4 has let nobody through who must not be nobody
	case len(r.ACR) > 0 && !slices.Contains(r.ACR, v.who.ACR):
		return fault.New(fault.Unauthenticated, ReasonLevel, "this needs another login")
	case len(r.Groups) > 0 && !anyOf(r.Groups, v.who.Groups):
		return fault.New(fault.Denied, "group_required", "this needs another group")
	case !allOf(r.Scopes, v.who.Scopes):
		return fault.New(fault.Denied, "scope_required", "this needs another scope")
	}
	return nil
}
