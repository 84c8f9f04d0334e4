package bff

import (
	"net/http"
	"net/url"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/pep"
)

// ReasonPeer is the reason of an /authz that no trusted proxy asked.
const ReasonPeer = "peer_not_trusted"

// What a refusal of /authz says in headers, for proxies that read nothing else of an answer.
const (
	// HeaderCode is the problem's code, which pages act on.
	HeaderCode = "Intercom-Code"
	// HeaderLogin is there for a navigation that has to log in: the URL of the login that leads back to it. Few proxies
	// could escape the address.
	HeaderLogin = "Intercom-Login"
)

// authz answers a proxy whether it may carry a browser's request to a service: 200, 401 or 403, which is all that
// such proxies understand, and 503 where nobody can say. It redirects nobody: the proxy has the browser.
func (h *Handler) authz(w http.ResponseWriter, r *http.Request) {
	private(w.Header())
	v := &visit{Handler: h, w: w, r: r}
	err := v.ask()
	if err == nil {
		v.keep()
		v.grant.Done(pep.Outcome{})
		w.Header().Set(fault.DecisionHeader, v.grant.ID)
		w.WriteHeader(http.StatusOK)
		return
	}
	outbound.AbandonBody(w, r)
	v.refuseToAsk(*fault.From(err))
}

// refuseToAsk says so to the proxy. What it reads of that differs: some hand on status, fields and body, to who opens a page
// a page; some know the status alone.
func (v *visit) refuseToAsk(e fault.Error) {
	head := v.w.Header()
	if e.Kind == fault.Unauthenticated && IsNavigation(v.r) {
		head.Set(HeaderLogin, v.origin.URL+v.loginFor(&e, v.r.URL.RequestURI()))
	}
	status := e.HTTPStatus()
	if status < http.StatusInternalServerError && status != http.StatusUnauthorized || e.Kind == fault.Unsupported {
		e.Kind = fault.Denied
	}
	e.WriteHeaders(head)
	head.Set(HeaderCode, codeOf(&e))
	p := problemOf(&e)
	denied := status == http.StatusForbidden && v.who != nil // the page says that he is logged in
	if v.origin.URL != "" && IsNavigation(v.r) && (denied || status >= http.StatusInternalServerError) {
		v.Pages.Refused(v.w, v.r, p.Status, p.Code, v.origin.Start())
		return
	}
	v.say(v.w, v.r, v.origin, p)
}

// ask judges the request that the proxy speaks of as if it had come here. What we would leave out of a request the proxy
// may not: one that says of itself who is asking is refused. A proxy that says so itself keeps it from us.
func (v *visit) ask() error {
	if v.Trusted == nil || !v.Trusted(v.r) {
		return fault.New(fault.Denied, ReasonPeer, "only a trusted proxy may ask for others")
	}
	r, err := spokenOf(v.r)
	if err != nil {
		return err
	}
	v.r = r
	v.origin, _ = v.Origins.Of(r)
	if name := hygiene.Claim(r.Header); name != "" {
		return fault.New(fault.Denied, "request_refused", name+" is no browser's to say, and the application might believe it")
	}
	if err := v.lead(); err != nil {
		return err
	}
	return v.admit()
}

// spokenOf returns the browser's request: the proxy sends its fields on, and what it cannot repeat in
// X-Forwarded-Method and X-Forwarded-Uri, and in X-Forwarded-Host where its Host is another. A method that is not
// said is none: to guess GET would let a POST through.
func spokenOf(r *http.Request) (*http.Request, error) {
	unsaid := fault.New(fault.Denied, "request_refused", "want X-Forwarded-Method and X-Forwarded-Uri, each once")
	method, target, host := r.Header["X-Forwarded-Method"], r.Header["X-Forwarded-Uri"], r.Header["X-Forwarded-Host"]
	if len(method) != 1 || len(target) != 1 || len(host) > 1 {
		return nil, unsaid
	}
	where, err := url.ParseRequestURI(target[0])
	if err != nil || where.Host != "" || where.Scheme != "" {
		return nil, unsaid.Because(err)
	}
	out := r.Clone(r.Context())
	out.Method, out.URL, out.RequestURI = method[0], where, target[0]
	out.Body, out.ContentLength = http.NoBody, 0
	if len(host) == 1 {
		out.Host = host[0]
	}
	return out, nil
}
