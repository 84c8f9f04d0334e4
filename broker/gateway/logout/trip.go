package logout

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// tripName is the cookie of a browser that is at the provider's end_session endpoint.
const tripName = "__Host-Http-ic-out"

// tripSeconds is how long it may stay there.
const tripSeconds = 600

// trip is the way to the provider and back. It holds no secret: whoever changes it changes where the browser
// that it stands in is led, and that is judged again.
type trip struct{ state, to string }

func newTrip(to string) trip { return trip{rand.Text(), to} }

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

// issuerOrigin returns the origin of an issuer's URL.
func issuerOrigin(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}
