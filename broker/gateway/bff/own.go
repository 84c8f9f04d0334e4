package bff

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// Mount adds what pages ask of the gateway itself.
func (h *Handler) Mount(mux *http.ServeMux) {
	for path, own := range map[string]own{
		"/session":       {http.MethodGet, h.session},
		"/session/touch": {http.MethodPost, h.touch},
		"/events":        {http.MethodGet, h.events},
		"/silent":        {http.MethodGet, h.silent},
		"/token":         {http.MethodGet, h.mediate},
	} {
		mux.HandleFunc(h.prefix()+path, func(w http.ResponseWriter, r *http.Request) { h.at(w, r, own) })
	}
	mux.HandleFunc(h.prefix()+"/authz", h.authz)
	mux.HandleFunc("GET "+h.prefix()+"/intercom.js", h.script("intercom.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET "+h.prefix()+"/intercom.d.ts", h.script("intercom.d.ts", "application/typescript; charset=utf-8"))
}

// own is one path of ours: a method, and what it does for the browser of an origin.
type own struct {
	method string
	do     func(http.ResponseWriter, *http.Request, route.Origin) error
}

// at answers at an origin, with CORS headers whatever the answer is.
func (h *Handler) at(w http.ResponseWriter, r *http.Request, o own) {
	origin, ok := h.Origins.Of(r)
	if !ok {
		h.Refuse(w, r, errOrigin())
		return
	}
	switch {
	case IsPreflight(r):
		Preflight(w, r, origin, []string{o.method})
		return
	case r.Method != o.method:
		w.Header().Set("Allow", o.method)
		h.Refuse(w, r, fault.New(fault.Unsupported, ReasonMethod, "the method is not served here"))
		return
	}
	private(w.Header())
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin") // for loads without CORS (Fetch standard)
	if err := o.do(w, r, origin); err != nil {
		h.Refuse(w, r, err)
	}
}

func errOrigin() error {
	return fault.New(fault.NotFound, "origin_unknown", "this host is none of ours")
}

// state is what a page learns of its session.
type state struct {
	Authenticated bool                       `json:"authenticated"`
	Reason        string                     `json:"reason,omitempty"`
	LoginURL      string                     `json:"login_url,omitempty"`
	Subject       string                     `json:"sub,omitempty"`
	SID           string                     `json:"sid_hash,omitempty"`
	Claims        map[string]json.RawMessage `json:"claims,omitempty"`
	Expires       int64                      `json:"expires_in,omitempty"`      // seconds
	IdleExpires   int64                      `json:"idle_expires_in,omitempty"` // seconds
	CSRF          string                     `json:"csrf_token,omitempty"`
	LogoutURL     string                     `json:"logout_url,omitempty"`
}

// session says who is logged in: always 200, and only 503 where nobody can say. It is no activity.
func (h *Handler) session(w http.ResponseWriter, r *http.Request, o route.Origin) error {
	id, who, _, err := h.find(r, o)
	answer := state{LoginURL: o.URL + h.prefix() + "/login"}
	switch {
	case fault.KindOf(err) == fault.Unauthenticated && err != nil:
		answer.Reason = codeOf(err)
	case err != nil:
		return err
	default:
		answer = h.state(o, id, *who)
	}
	AddCORS(w.Header(), r, o)
	return writeJSON(w, answer)
}

func (h *Handler) state(o route.Origin, id session.ID, s session.Session) state {
	cookie := []byte(id.Cookie())
	answer := state{
		Authenticated: true, Subject: s.Subject, SID: PublicID(cookie), Claims: s.Claims, Expires: seconds(s.End().Sub(h.now())),
		CSRF: CSRFToken(cookie), LogoutURL: o.URL + h.prefix() + "/logout?" + url.Values{"sid": {PublicID(cookie)}}.Encode(),
	}
	if end := h.Sessions.IdleEnd(s); !end.IsZero() {
		answer.IdleExpires = seconds(end.Sub(h.now()))
	}
	return answer
}

// seconds rounds up, so that a session that lives is never said to have no time left.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// touch is activity that a page says itself: of a user who reads.
func (h *Handler) touch(w http.ResponseWriter, r *http.Request, o route.Origin) error {
	id, who, _, err := h.find(r, o)
	if err != nil {
		return err
	}
	if err := CheckCSRF(r, o, id, r.Header.Get(HeaderCSRF)); err != nil {
		return err
	}
	h.Sessions.Touch(*who)
	AddCORS(w.Header(), r, o)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// writeJSON cannot fail but by the browser's going.
func writeJSON(w http.ResponseWriter, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(data, '\n'))
	return nil
}
