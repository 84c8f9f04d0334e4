package bff

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// find returns the session that a request's cookie names at an origin. held says that there was a cookie.
func (h *Handler) find(r *http.Request, o route.Origin) (id session.ID, who *session.Session, held bool, err error) {
	if id, held = session.FindID(r, h.Cookie(o)); !held {
		return id, nil, false, session.NoSession(nil)
	}
	s, err := h.Sessions.Look(r.Context(), id)
	if err == nil && s.Origin != o.URL {
		err = session.NoSession(nil)
	}
	if err != nil {
		return id, nil, true, err
	}
	return id, s, true, nil
}

// enter finds the session. A route for everybody is served without one, and also when the one that there was
// has ended; but not when nobody can say, since its service might then be told the wrong thing.
func (v *visit) enter() (err error) {
	v.id, v.who, v.held, err = v.find(v.r, v.origin)
	if v.route.Service.Browser.Require.Anonymous && fault.KindOf(err) == fault.Unauthenticated {
		return nil
	}
	return err
}

// drop takes back the cookie of a session that expired. After a logout there is a new one soon, and an answer that
// comes late must not take that.
func (v *visit) drop(err error) {
	if v.Forget != nil && codeOf(err) == session.CodeExpired {
		v.Forget(v.w, v.origin)
	}
}

// turnAway answers who must log in, or log in better. A navigation is led there; a script is told, because a
// redirect to another origin would look to it like a broken network. A navigation from another site came without
// a Strict cookie that the browser may well have: it is asked once more from here before anybody is sent to log
// in, so that a link in a mail does not look logged out.
func (v *visit) turnAway(err error) error {
	if fault.KindOf(err) != fault.Unauthenticated {
		return err
	}
	v.drop(err)
	if !isShown(v.r) || v.r.Method == http.MethodHead {
		return err
	}
	private(v.w.Header())
	switch {
	case v.r.Method != http.MethodGet:
		v.unsent(fault.From(err))
	case v.fromElsewhere():
		v.Pages.Again(v.w, v.r)
	default:
		http.Redirect(v.w, v.r, v.loginFor(err, v.r.URL.RequestURI()), http.StatusFound)
	}
	return nil
}

// fromElsewhere reports whether another site has led here, and no cookie came: a Strict one is not sent then.
func (v *visit) fromElsewhere() bool {
	return !v.held && v.r.Header.Get("Sec-Fetch-Site") == "cross-site"
}

// unsent says to who has sent a form that it was not taken, with a login that leads back to the form, as far as the browser says
// where that is.
func (v *visit) unsent(e *fault.Error) {
	outbound.AbandonBody(v.w, v.r)
	e.WriteHeaders(v.w.Header())
	v.challenge(v.w.Header(), v.origin)
	form := v.r.Header.Get("Referer") // the login judges it
	if !strings.HasPrefix(form, v.origin.URL+"/") {
		form = v.origin.Start()
	}
	to := v.loginFor(e, form)
	if v.fromElsewhere() { // who is there may well be logged in
		to = ""
	}
	v.Pages.Unsent(v.w, v.r, e.HTTPStatus(), codeOf(e), to)
}

// loginFor is the path of the login that err wants, and leads to back.
func (v *visit) loginFor(err error, back string) string {
	q := url.Values{"return_to": {back}}
	if acr := v.route.Service.Browser.Require.ACR; fault.From(err).Reason == ReasonLevel && len(acr) > 0 {
		q.Set("acr", acr[0])
	}
	return v.prefix() + "/login?" + q.Encode()
}

// userOf is the session's user, as policy knows users. What is proven ends with the session.
func userOf(s session.Session) *identity.User {
	u := &identity.User{
		Issuer: s.Issuer, Subject: s.Subject, Groups: s.Groups, Scopes: s.Scopes, Proof: identity.ByOIDC, NotAfter: s.End(), Claims: map[string]any{},
	}
	for name, raw := range s.Claims {
		var value any
		if json.Unmarshal(raw, &value) == nil {
			u.Claims[name] = value
		}
	}
	return u
}

func anyOf(wanted, held []string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(held, w) })
}

func allOf(wanted, held []string) bool {
	return !slices.ContainsFunc(wanted, func(w string) bool { return !slices.Contains(held, w) })
}

// methods are those that a preflight is told of.
func methods(m service.Match) []string {
	if len(m.Methods) > 0 {
		return m.Methods
	}
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
}

func private(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
}
