package bff

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// problem is what a script reads (RFC 9457). Where a token could not be had it says for whom, and what those said who
// give them.
type problem struct {
	fault.Problem
	Reason   string `json:"reason,omitempty"`
	Audience string `json:"audience,omitempty"`
}

// Refuse answers err: to who opens a page, or sends a form, with a page, to all else with a problem that scripts of the origin's
// allowed pages can read. Its code is in lower case, whoever failed.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	o, _ := h.Origins.Of(r)
	h.answer(w, r, o, fault.From(err), "")
}

// answer is Refuse at an origin, for what failed on the way to an audience, if it is known.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, o route.Origin, e *fault.Error, audience string) {
	e.WriteHeaders(w.Header())
	p := problemOf(e)
	switch page := o.URL != "" && isShown(r); {
	case page && e.Reason == ReasonToken:
		h.Pages.Barred(w, r, p.Status, p.Code, o.Start())
		return
	case page && !isRead(r.Method) && (e.Reason == ReasonCSRF || e.Reason == ReasonOrigin):
		h.Pages.Unsent(w, r, p.Status, p.Code, "")
		return
	case page:
		h.Pages.Refused(w, r, p.Status, p.Code, o.Start())
		return
	case e.Reason == ReasonToken:
		p.Audience, p.Reason = audience, causeOf(e)
	}
	h.say(w, r, o, p)
}

func problemOf(e *fault.Error) problem {
	status := statusOf(e)
	return problem{Problem: fault.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message, Code: codeOf(e), Decision: e.Decision,
	}}
}

// say writes p, and where a login begins if one is wanted.
func (h *Handler) say(w http.ResponseWriter, r *http.Request, o route.Origin, p problem) {
	head := w.Header()
	if o.URL != "" {
		AddCORS(head, r, o)
		if p.Status == http.StatusUnauthorized {
			h.challenge(head, o)
		}
	}
	head.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// challenge says where a login begins, in a scheme that no browser knows (RFC 9110, section 11.6.1).
func (h *Handler) challenge(head http.Header, o route.Origin) {
	head.Set("WWW-Authenticate", `Intercom login_url="`+o.URL+h.prefix()+`/login"`)
}

// statusOf is e's status, and 502 where it is not we who failed (RFC 9110, section 15.6.3).
func statusOf(e *fault.Error) int {
	switch {
	case e.Reason == ReasonMethod && e.Kind == fault.Unsupported:
		return http.StatusMethodNotAllowed
	case e.Reason == ReasonToken || outbound.IsUpstream(e) && e.Kind != fault.Timeout:
		return http.StatusBadGateway
	}
	return e.HTTPStatus()
}

// codeOf is the code of an answer.
func codeOf(err error) string { return strings.ToLower(fault.From(err).Code()) }

// causeOf is what those said who did not give a token; empty where nobody was asked.
func causeOf(e *fault.Error) string {
	if cause, ok := errors.AsType[*fault.Error](errors.Unwrap(e)); ok {
		return strings.ToLower(cause.Code())
	}
	return ""
}

// refuse answers what was not served.
func (v *visit) refuse(err error) {
	outbound.AbandonBody(v.w, v.r)
	e := fault.From(err)
	if e.Kind == fault.Internal || e.Kind == fault.Unavailable || e.Kind == fault.Timeout {
		v.log().WarnContext(v.r.Context(), "a browser's request was not served", "service", v.service(), "reason", e.Code(), "decision", e.Decision, "error", err)
	}
	v.answer(v.w, v.r, v.origin, e, v.audience())
}

// service is the name of the route's, for the log.
func (v *visit) service() string {
	if v.route == nil {
		return ""
	}
	return v.route.Service.Name
}

// audience is whom the service's token is for.
func (v *visit) audience() string {
	switch {
	case v.route == nil:
		return ""
	case v.route.Service.Browser.User.Kind == service.UserMint:
		return v.route.Service.Token.Audience
	}
	return v.route.Service.Browser.User.Audience
}
