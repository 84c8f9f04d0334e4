package logout

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/intercom-broker/intercom/broker/gateway/route"
)

// tripName is the cookie of a browser that is at the provider's end_session endpoint.
const tripName = "__Host-Http-ic-out"

// tripSeconds is how long it may stay there.
const tripSeconds = 600

// trip is the way to the provider and back. It holds no secret: whoever changes it changes where the browser
// that it stands in is led, and that is judged again.
type trip struct{ state, to string }

// maxTrip is what fits into a cookie: 4 KiB with all that belongs to it (RFC 6265, section 6.1).
const maxTrip = 2048

// newTrip leads home where to is too long to be kept.
func newTrip(to string) trip {
	if len(to) > maxTrip {
		to = ""
	}
	return trip{rand.Text(), to}
}

func (t trip) cookie() *http.Cookie {
	return tripCookie(t.state+"."+base64.RawURLEncoding.EncodeToString([]byte(t.to)), tripSeconds)
}

func forgetTrip() *http.Cookie { return tripCookie("", -1) }

func tripCookie(value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: tripName, Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// tripOf reads the cookie.
func tripOf(r *http.Request) (t trip, ok bool) {
	found := r.CookiesNamed(tripName)
	if len(found) != 1 {
		return t, false
	}
	state, to, _ := strings.Cut(found[0].Value, ".")
	data, err := base64.RawURLEncoding.DecodeString(to)
	return trip{state, string(data)}, err == nil && state != ""
}

// hereOnly returns where a script is to navigate when the provider could not be told: it would lead on without a word
// otherwise, and the next login at this browser would ask nothing.
func (h *Handler) hereOnly(w http.ResponseWriter, r *http.Request, o route.Origin) string {
	t := newTrip(h.ReturnTo(o, r.FormValue("return_to"), o.Start()))
	http.SetCookie(w, t.cookie())
	return o.URL + h.prefix() + "/logout/here?" + url.Values{"state": {t.state}}.Encode()
}

// here says that the session has ended here, and may not have at the provider: to the browser of which it is true.
func (h *Handler) here(w http.ResponseWriter, r *http.Request, o route.Origin) {
	to, ok := h.tripped(w, r, o)
	if !ok {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	h.Pages.LoggedOut(w, r, to, true)
}

// back is where the provider sends the browser.
func (h *Handler) back(w http.ResponseWriter, r *http.Request, o route.Origin) {
	to, _ := h.tripped(w, r, o)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// tripped ends a trip, and returns where it was to lead. The state of the address says that it was we who sent the browser
// there (RP-Initiated Logout 1.0, section 3); without it there is nothing but the way home.
func (h *Handler) tripped(w http.ResponseWriter, r *http.Request, o route.Origin) (to string, ok bool) {
	t, ok := tripOf(r)
	to, ok = o.Start(), ok && t.state == r.URL.Query().Get("state")
	if ok {
		to = h.ReturnTo(o, t.to, to)
	}
	http.SetCookie(w, forgetTrip())
	private(w.Header())
	return to, ok
}

// issuerOrigin returns the origin of an issuer's URL.
func issuerOrigin(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}
