package login

import (
	"cmp"
	"context"
	"errors"
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
	"github.com/intercom-broker/intercom/broker/service"
)

// Handler is the way in. All fields without a default are required.
type Handler struct {
	Provider *provider.Provider
	Sessions *session.Manager
	Store    Store
	Pages    *page.Pages
	Origins  route.Origins
	// Prefix is where the gateway's own paths begin; empty means /bff.
	Prefix string
	// Claims are the names of the claims that a session keeps, and a page may see.
	Claims []string
	// Groups is the claim that lists the user's groups; empty means groups.
	Groups string
	// Lax gives the session cookie SameSite=Lax, for deployments where Strict does not fit.
	Lax bool
	// Starts bounds how many logins an address may begin; nil bounds nothing.
	Starts *Starts
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	lacks lacks
}

// The reasons for which a login does not begin, or does not end well.
const (
	ReasonNavigation = "login_not_a_navigation"
	ReasonBrowser    = "login_other_browser"
	ReasonUnknown    = "login_unknown"
	// ReasonLevel: the level that is asked for is none that can be.
	ReasonLevel = "login_level_invalid"
	// ReasonCrowded: the browser's cookies are too many for a session's to be found among them.
	ReasonCrowded = "login_cookies_too_large"
	// ReasonAway: there is nobody to log in at.
	ReasonAway = "provider_unavailable"
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

// Mount adds the two routes.
func (h *Handler) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET "+h.prefix()+"/login", h.begin)
	mux.HandleFunc("GET "+h.prefix()+"/callback", h.end)
}

// begin sends the browser to the provider. Only a navigation can go there and come back: a script that
// fetches this address gets an answer, and no transaction.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) {
	o, ok := h.Origins.Of(r)
	switch {
	case !ok:
		fault.WriteProblem(w, fault.New(fault.NotFound, "origin_unknown", "this host is none of ours"))
		return
	case r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Method != http.MethodGet || hygiene.IsAhead(r):
		fault.WriteProblem(w, fault.New(fault.InvalidRequest, ReasonNavigation, "a login begins with a navigation: set location to this address"))
		return
	}
	q := r.URL.Query()
	back := ReturnTo(o, q.Get("return_to"), o.Start())
	to, err := h.start(w, r, transaction{Transaction: wanted(q), purpose: purpose{Origin: o.URL, ReturnTo: back}}, q.Get("ui_locales"))
	switch {
	case err == nil:
	case provider.Away(err) && q.Get("prompt") == "none":
		to = back // it asks for nothing that is not there already
	default:
		h.refuse(w, r, err, back)
		return
	}
	private(w.Header())
	http.Redirect(w, r, to, http.StatusFound)
}

// wanted is what a query wants of a login.
func wanted(q url.Values) (tx provider.Transaction) {
	tx.Prompt = q.Get("prompt")
	if acr := q.Get("acr"); acr != "" {
		tx.ACR = []string{acr}
	}
	return tx
}

// start begins a login as t wants it, and returns where the provider is.
func (h *Handler) start(w http.ResponseWriter, r *http.Request, t transaction, locales string) (string, error) {
	if session.Crowded(r) { // else the way would be back to here, for ever
		return "", fault.New(fault.InvalidRequest, ReasonCrowded, "the cookies of this site take more than 8 KiB")
	}
	if err := h.Starts.spend(r, h.now()); err != nil {
		return "", err
	}
	for _, acr := range t.ACR {
		if !service.IsACR(acr) { // a login without it would be another than was asked for
			return "", fault.New(fault.InvalidRequest, ReasonLevel, "acr is no level that a login can ask for")
		}
	}
	if err := h.Provider.Answers(r.Context()); err != nil { // there is no way back from where nobody is
		return "", err
	}
	to, begun, err := h.Provider.AuthorizationURL(r.Context(), provider.Request{
		RedirectURI: t.Origin + h.prefix() + "/callback", Prompt: t.Prompt, ACR: t.ACR, MaxAge: t.MaxAge, Locales: locales,
	})
	if err != nil {
		return "", err
	}
	t.Transaction, t.Browser = begun, digest(h.browser(w, r))
	return to, h.put(r.Context(), t)
}

// end is where the provider sends the browser. Its transaction is over with it, whatever comes of it. From a provider on
// another site it is asked for once more, from a page of ours: with the provider's redirect no Strict cookie comes, so
// nobody would know of the session that this login takes the place of, nor the new one come with where it leads.
func (h *Handler) end(w http.ResponseWriter, r *http.Request) {
	o, ok := h.Origins.Of(r)
	if !ok {
		fault.WriteProblem(w, fault.New(fault.NotFound, "origin_unknown", "this host is none of ours"))
		return
	}
	if r.Method != http.MethodGet || hygiene.IsAhead(r) { // it would spend the answer
		fault.WriteProblem(w, fault.New(fault.InvalidRequest, ReasonNavigation, "a login ends with a navigation"))
		return
	}
	if h.needsHop(r) {
		h.Pages.Again(w, r)
		return
	}
	query := r.URL.Query()
	t, err := h.take(r, o, query)
	if fault.From(err).Reason == ReasonUnknown {
		h.late(w, r, o, query.Get("state"), err)
		return
	}
	if err == nil {
		err = h.finish(w, r, o, t, query)
	}
	switch {
	case err == nil, provider.Silent(err): // nobody is logged in, and that is an answer
		lead(w, r, t.ReturnTo)
	case curable(err) && !t.Second && !framed(r):
		h.second(w, r, t, err)
	default:
		h.refuse(w, r, err, t.ReturnTo)
	}
}

// needsHop reports whether the request came without Strict cookies. A frame gets none from here either, and cannot show a page.
func (h *Handler) needsHop(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && !framed(r) && !h.Lax
}

// take returns the transaction of an answer, if it is this browser's, and only then is it spent: who has seen an answer on
// its way can neither end it nor keep the one whose it is from it.
func (h *Handler) take(r *http.Request, o route.Origin, query url.Values) (t transaction, err error) {
	state := query.Get("state")
	if state == "" || len(query["state"]) > 1 || len(state) > 512 {
		return t, unknown()
	}
	sealed, err := h.Store.Look(r.Context(), key(state))
	if err != nil {
		return t, err
	}
	if t, err = opened(state, sealed); err != nil {
		return t, err
	}
	if t.Origin != o.URL || !t.isOf(r) {
		return t, fault.New(fault.InvalidRequest, ReasonBrowser, "this login was begun in another browser")
	}
	if sealed, err = h.Store.Take(r.Context(), key(state)); err != nil { // of two at once one gets it
		return t, err
	}
	return opened(state, sealed)
}

func unknown() *fault.Error {
	return fault.New(fault.InvalidRequest, ReasonUnknown, "no such login is under way")
}

// opened is a transaction out of the store, which may not have it.
func opened(state string, sealed []byte) (transaction, error) {
	if sealed == nil {
		return transaction{}, unknown()
	}
	t, err := openTransaction(state, sealed)
	if err != nil {
		return t, unknown().Because(err)
	}
	return t, nil
}

// finish redeems the code and begins the session, under an id that nobody has seen before.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request, o route.Origin, t transaction, query url.Values) error {
	tokens, claims, err := h.Provider.Redeem(r.Context(), t.Transaction, query)
	if err != nil {
		return err
	}
	s, err := h.session(o, t, tokens, claims)
	if err != nil {
		return err
	}
	h.miss(r.Context(), tokens, s.Claims)
	before, had := session.FindID(r, Cookie(o))
	id, _, err := h.Sessions.Create(r.Context(), s)
	if err != nil {
		return err
	}
	if had {
		h.replace(r, before)
	}
	http.SetCookie(w, h.cookie(o, id.Cookie()))
	return nil
}

// session is what a login says, as far as it is kept.
func (h *Handler) session(o route.Origin, t transaction, tokens provider.Tokens, claims provider.Claims) (session.Session, error) {
	kept, groups, err := claims.Keep(h.Claims, cmp.Or(h.Groups, "groups"))
	if err != nil {
		return session.Session{}, err
	}
	return session.Session{
		Origin: o.URL, Issuer: claims.Issuer, Subject: claims.Subject, SID: claims.SID, AuthTime: authTime(t, claims), ACR: claims.ACR,
		ProviderEnd: tokens.RefreshExpiry, Scopes: tokens.Scope, Claims: kept, Groups: groups,
		Tokens: session.Tokens{Access: tokens.Access, Refresh: tokens.Refresh, ID: tokens.ID, Key: tokens.Key, Issued: h.now(), Expiry: tokens.Expiry},
	}, nil
}

// authTime is what a logout of all of the user's sessions is compared with. A provider need not say it (OpenID Connect Core
// 1.0, section 2). Whatever session of his it went by, it was alive after we had sent him there, so a logout before that is
// not about this login; in seconds, as a logout is.
func authTime(t transaction, claims provider.Claims) time.Time {
	if claims.AuthTime.IsZero() {
		return t.Started.Truncate(time.Second)
	}
	return claims.AuthTime
}

// replace ends the session that the browser had: its cookie is gone, so nobody could end it later.
func (h *Handler) replace(r *http.Request, before session.ID) {
	old, err := h.Sessions.Get(r.Context(), before)
	if err == nil {
		err = h.Sessions.End(r.Context(), old, session.ReasonLogout)
	}
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		h.log().WarnContext(r.Context(), "the session before a login is left to its end", "error", err)
	}
}

func (h *Handler) alive(r *http.Request, o route.Origin) bool {
	id, ok := session.FindID(r, Cookie(o))
	if !ok {
		return false
	}
	_, err := h.Sessions.Get(r.Context(), id)
	return err == nil
}

// lead sends the browser on.
func lead(w http.ResponseWriter, r *http.Request, to string) {
	private(w.Header())
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func framed(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Dest") == "iframe" }

// refuse shows a page: who is here navigated. In a frame nobody would see it, and the page around it waits for an
// answer: the frame is led to where it wanted to go, without a session, as far as that is known.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error, to string) {
	if errors.Is(r.Context().Err(), context.Canceled) { // who sends a form twice leaves the first one's answer
		h.log().InfoContext(r.Context(), "a browser left while its login was dealt with", "error", err)
		return
	}
	e := fault.From(err)
	h.log().WarnContext(r.Context(), "a login failed", "reason", e.Code(), "error", err)
	if framed(r) && to != "" {
		lead(w, r, to)
		return
	}
	e.WriteHeaders(w.Header())
	if e.Reason == ReasonCrowded {
		h.Pages.Crowded(w, r, strings.ToLower(e.Code()), h.again(r, to))
		return
	}
	if provider.Away(err) {
		h.Pages.NoLogin(w, r, ReasonAway, h.again(r, to))
		return
	}
	if provider.Misset(err) {
		h.Pages.Unfit(w, r, e.HTTPStatus(), strings.ToLower(e.Code()))
		return
	}
	h.Pages.Problem(w, r, e.HTTPStatus(), strings.ToLower(e.Code()), h.again(r, to))
}

// again is where to try again: at the same login, or, of one whose transaction is over, at a new one that leads to the
// same place.
func (h *Handler) again(r *http.Request, to string) string {
	switch login := h.prefix() + "/login"; {
	case r.URL.Path == login:
		return r.URL.RequestURI()
	case to != "":
		return login + "?" + url.Values{"return_to": {to}}.Encode()
	default:
		return login
	}
}

func private(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}
