package logout

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Handler is the way out. All fields without a default are required.
type Handler struct {
	Provider *provider.Provider
	Sessions *session.Manager
	Pages    *page.Pages
	Origins  route.Origins
	// Cookie returns the name of an origin's session cookie, and Forget takes that cookie back.
	Cookie func(route.Origin) string
	Forget func(http.ResponseWriter, route.Origin)
	// CheckCSRF refuses what another site has caused; token is what the request carries, header or form.
	CheckCSRF func(r *http.Request, o route.Origin, id session.ID, token string) error
	// Share says which pages of other origins may read an answer, and Preflight answers what they ask before they call.
	Share     func(http.Header, *http.Request, route.Origin)
	Preflight func(w http.ResponseWriter, r *http.Request, o route.Origin, methods []string)
	// PublicName is the session's name that links carry.
	PublicName func(session.ID) string
	// ReturnTo decides where a logout may lead.
	ReturnTo func(o route.Origin, raw, otherwise string) string
	// Prefix is where the gateway's own paths begin; empty means /bff.
	Prefix string
	// HeaderCSRF carries the token; required.
	HeaderCSRF string
	// FrontChannel turns the provider's frames on.
	FrontChannel bool
	// RevokeAfter is how long a browser has to get to the provider before the refresh token is taken back; zero means 10 s.
	RevokeAfter time.Duration
	// Leaving is closed when the gateway ends: no refresh token waits for a browser then. Nil never is.
	Leaving <-chan struct{}
	// Log may be nil.
	Log *slog.Logger
	// Failures bounds forged logout tokens; nil bounds nothing.
	Failures *Failures
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	afterwards afterwards
}

// The reasons for which a logout does not happen: a frame of somebody else's asks for it, nobody does, and a page does it
// that shows an image.
const (
	ReasonIssuer     = "logout_issuer"
	ReasonAhead      = "logout_ahead"
	ReasonNavigation = "logout_not_a_navigation"
	// ReasonCrowded: the browser's cookies are too many for a session's to be found among them.
	ReasonCrowded = "logout_cookies_too_large"
)

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

// Mount adds the routes. Other methods are answered 405 by mux.
func (h *Handler) Mount(mux *http.ServeMux) {
	mux.HandleFunc("POST "+h.prefix()+"/logout", h.at(h.post))
	mux.HandleFunc("OPTIONS "+h.prefix()+"/logout", h.at(h.preflight))
	mux.HandleFunc("GET "+h.prefix()+"/logout", h.at(h.link))
	mux.HandleFunc("GET "+h.prefix()+"/logout/return", h.at(h.back))
	mux.HandleFunc("GET "+h.prefix()+"/logout/here", h.at(h.here))
	mux.HandleFunc("POST "+h.prefix()+"/backchannel-logout", h.backchannel)
	if h.FrontChannel {
		mux.HandleFunc("GET "+h.prefix()+"/frontchannel-logout", h.at(h.frontchannel))
	}
}

// at hands a route the origin that it was called at, and a body with bounds.
func (h *Handler) at(next func(http.ResponseWriter, *http.Request, route.Origin)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o, ok := h.Origins.Of(r)
		if !ok {
			fault.WriteProblem(w, fault.New(fault.NotFound, "origin_unknown", "this host is none of ours"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm) // the form of a GET is read too
		next(w, r, o)
	}
}

// maxForm bounds what a logout sends.
const maxForm = 16 << 10

// preflight lets a listed page send the header that its logout carries.
func (h *Handler) preflight(w http.ResponseWriter, r *http.Request, o route.Origin) {
	h.Preflight(w, r, o, []string{http.MethodPost})
}

// post is the logout of a page, by fetch or by a form.
func (h *Handler) post(w http.ResponseWriter, r *http.Request, o route.Origin) {
	h.Share(w.Header(), r, o) // refusals too
	id, held := session.FindID(r, h.Cookie(o))
	switch {
	case !held && session.Crowded(r):
		h.crowded(w, r)
		return
	case !held && foreign(r) && navigates(r):
		private(w.Header())
		http.Redirect(w, r, h.address(r, url.Values{}), http.StatusSeeOther)
		return
	case !held:
		h.done(w, r, o, session.Ended{})
		return
	}
	token := r.Header.Get(h.HeaderCSRF)
	if token == "" {
		token = r.PostFormValue("csrf_token")
	}
	switch err := h.CheckCSRF(r, o, id, token); {
	case err == nil:
		h.end(w, r, o, id)
	case navigates(r): // whoever has made the browser send that: the user knows what he wants
		h.question(w, r, o, id)
	default:
		fault.WriteProblem(w, err)
	}
}

// link is the logout of an address. Any site can lead a browser to one, so the address names the session; else the user
// is asked.
func (h *Handler) link(w http.ResponseWriter, r *http.Request, o route.Origin) {
	if err := unasked(r); err != nil {
		private(w.Header())
		fault.WriteProblem(w, err)
		return
	}
	switch id, held := session.FindID(r, h.Cookie(o)); {
	case !held && session.Crowded(r):
		h.crowded(w, r)
	case !held && foreign(r):
		h.Pages.Again(w, r)
	case !held:
		h.done(w, r, o, session.Ended{})
	case r.URL.Query().Get("sid") != h.PublicName(id):
		h.question(w, r, o, id)
	default:
		h.end(w, r, o, id)
	}
}

// crowded is for a browser in whose cookies no session is looked for: there may be one, so nobody is told that he is logged out.
func (h *Handler) crowded(w http.ResponseWriter, r *http.Request) {
	if !navigates(r) {
		fault.WriteProblem(w, fault.New(fault.InvalidRequest, ReasonCrowded, "the cookies of this site take more than 8 KiB"))
		return
	}
	h.Pages.Crowded(w, r, ReasonCrowded, h.address(r, url.Values{}))
}

// foreign reports whether another site has led the browser here. A Strict cookie does not come along then, so nobody can say who
// is logged in: the browser is to ask once more, from here.
func foreign(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Site") == "cross-site" }

// navigates reports whether the browser is about to show the answer. One without Fetch Metadata follows links, and says of
// its forms that it would like a page.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return r.Method == http.MethodGet || strings.Contains(r.Header.Get("Accept"), "text/html")
}

// question asks the user, on a page that no other site can frame or read.
func (h *Handler) question(w http.ResponseWriter, r *http.Request, o route.Origin, id session.ID) {
	h.Pages.SignOut(w, r, h.address(r, url.Values{"sid": {h.PublicName(id)}}), o.Start(), r.URL.Query().Has("sid"))
}

// address is the link that does what r asks for, with what q says besides.
func (h *Handler) address(r *http.Request, q url.Values) string {
	if to := r.FormValue("return_to"); to != "" {
		q.Set("return_to", to)
	}
	u := url.URL{Path: h.prefix() + "/logout", RawQuery: q.Encode()}
	return u.String()
}

// fail says what went wrong, to a person on a page. The cookie stays, so that he may try again.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !navigates(r) {
		fault.WriteProblem(w, err)
		return
	}
	e := fault.From(err)
	e.WriteHeaders(w.Header())
	h.Pages.Problem(w, r, e.HTTPStatus(), strings.ToLower(e.Code()), h.prefix()+"/logout?"+r.URL.RawQuery)
}

// unasked refuses what nobody asked for who is at the browser: an address that is loaded ahead, looked at (HEAD), fetched, or put
// into a page as an image, and not followed. A browser without Fetch Metadata does not tell.
func unasked(r *http.Request) error {
	mode := r.Header.Get("Sec-Fetch-Mode")
	switch {
	case hygiene.IsAhead(r):
		return fault.New(fault.InvalidRequest, ReasonAhead, "a logout is not loaded ahead")
	case r.Method != http.MethodGet, mode != "" && mode != "navigate":
		return fault.New(fault.InvalidRequest, ReasonNavigation, "this address is followed by a navigation; a script sends POST to logout")
	}
	return nil
}

// end ends the session here, and leads to the provider.
func (h *Handler) end(w http.ResponseWriter, r *http.Request, o route.Origin, id session.ID) {
	s, err := h.Sessions.Get(r.Context(), id)
	gone, over := asEnded(err)
	switch {
	case err == nil:
		if err := h.Sessions.End(r.Context(), s, session.ReasonLogout); err != nil {
			h.fail(w, r, err)
			return
		}
		gone = session.EndOf(s, session.ReasonLogout, h.now())
		h.revokeLater(r.Context(), s)
	case over && gone.Reason == session.ReasonLogout:
		gone.Hint = secret.Value{} // its user was led to the provider once; an old cookie is not to read the ID token
	case !over && fault.KindOf(err) != fault.Unauthenticated:
		h.fail(w, r, err)
		return
	}
	h.Forget(w, o)
	h.done(w, r, o, gone)
}

// asEnded returns the tombstone, of a session that was ended from elsewhere a moment ago: its hint still helps.
func asEnded(err error) (session.Ended, bool) {
	e, ok := err.(*session.Ended) //nolint:errorlint // a manager returns it as it is
	if !ok {
		return session.Ended{}, false
	}
	return *e, true
}

// done leads on: a form or a link is sent to the provider, a script is told where to go.
func (h *Handler) done(w http.ResponseWriter, r *http.Request, o route.Origin, gone session.Ended) {
	to := ""
	var err error
	if !gone.At.IsZero() {
		to, err = h.endSessionURL(w, r, o, gone.Hint)
	}
	if err != nil && fault.KindOf(err) != fault.Unsupported {
		h.log().WarnContext(r.Context(), "a logout does not reach the provider", "error", err)
	}
	private(w.Header())
	switch {
	case !navigates(r):
		if err != nil {
			to = h.hereOnly(w, r, o)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer{LogoutURL: to, ProviderSession: alive(err)})
	case to != "":
		http.Redirect(w, r, to, http.StatusSeeOther)
	default:
		h.Pages.LoggedOut(w, r, o.Start(), err != nil)
	}
}

// answer is what a script gets.
type answer struct {
	// LogoutURL is where to navigate, so that the user is logged out at the provider too, or told that he may not be; empty:
	// nowhere.
	LogoutURL string `json:"logout_url"`
	// ProviderSession is "unknown" when the provider could not be told.
	ProviderSession string `json:"provider_session,omitempty"`
}

func alive(err error) string {
	if err != nil {
		return "unknown"
	}
	return ""
}

// endSessionURL returns where the provider ends its session, and remembers where that leads.
func (h *Handler) endSessionURL(w http.ResponseWriter, r *http.Request, o route.Origin, hint secret.Value) (string, error) {
	if err := h.Provider.Answers(r.Context()); err != nil { // there is no way back from where nobody is
		return "", err
	}
	t := newTrip(h.ReturnTo(o, r.FormValue("return_to"), o.Start()))
	to, err := h.Provider.EndSessionURL(hint, o.URL+h.prefix()+"/logout/return", t.state)
	if err != nil {
		return "", err
	}
	http.SetCookie(w, t.cookie())
	return to, nil
}

func private(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}
