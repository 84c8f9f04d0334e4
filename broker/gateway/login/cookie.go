package login

import (
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// The names of our cookies. A browser takes a name that begins with __Host- from the very host only, over https
// and for all paths; so no sibling and no script of a subdomain can set it (draft-ietf-httpbis-rfc6265bis,
// section 4.1.3). __Host-Http- says besides that no script has set it, where the browser knows of that.
const (
	cookieName  = "__Host-Http-ic"
	bindingName = "__Host-Http-ic-tx-" // and a part of its own
)

// Cookie returns the name of the session cookie of an origin.
func Cookie(route.Origin) string { return cookieName }

// cookie carries a session. There is no Max-Age: it ends with the browser, and the session by its own times.
func (h *Handler) cookie(o route.Origin, value string) *http.Cookie {
	c := &http.Cookie{Name: Cookie(o), Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if h.Lax {
		c.SameSite = http.SameSiteLaxMode
	}
	return c
}

// Forget takes the session cookie back.
func Forget(w http.ResponseWriter, o route.Origin) {
	http.SetCookie(w, &http.Cookie{Name: Cookie(o), Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// maxBindings is how many binding cookies a browser keeps: 2 KiB. Even tabs that are all restored at once, with nobody
// logged in, are seldom more.
const maxBindings = 32

// browser returns the value of the browser's binding cookie, the newest, and sets it anew: the ten minutes count from the
// latest login. Where none came it sets one under a name of its own, since a login that begins at the same moment does so
// too, and neither may take the other's.
func (h *Handler) browser(w http.ResponseWriter, r *http.Request) string {
	held := bindings(r)
	if len(held) == 0 {
		held = []string{newBrowser()}
	}
	for _, oldest := range held[:max(0, len(held)-maxBindings)] {
		http.SetCookie(w, bindingCookie(oldest, -1))
	}
	value := held[len(held)-1]
	http.SetCookie(w, bindingCookie(value, int(Life/time.Second)))
	return value
}

// bindingCookie is Lax, since the provider's redirect comes from another site.
func bindingCookie(value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: bindingFor(value), Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// bindingFor is the name of the cookie with that value. No cookie counts under another.
func bindingFor(value string) string {
	sum := digest(value)
	return bindingName + hex.EncodeToString(sum[:4])
}

// bindings returns the values of the binding cookies that are ours in form, in the browser's order: the oldest first
// (RFC 6265, section 5.4).
func bindings(r *http.Request) (values []string) {
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, bindingName) || c.Name != bindingFor(c.Value) {
			continue
		}
		if _, ok := session.ParseID(c.Value); ok { // the same form: 256 bits
			values = append(values, c.Value)
		}
	}
	return values
}

// Starts bounds the logins that one address may begin: each costs an entry in the store, and a request to the
// provider where it wants them pushed. The zero Starts is ready for use; a nil one bounds nothing.
type Starts struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

const (
	startsPerSecond = 2
	startsAtOnce    = 100 // an office behind one address
	manyAddresses   = 8192
)

func (s *Starts) spend(r *http.Request, now time.Time) error {
	if s == nil || s.of(r.RemoteAddr, now).AllowN(now, 1) {
		return nil
	}
	e := fault.New(fault.Overloaded, "login_limit", "too many logins were begun from this address")
	e.RetryAfter = time.Second
	return e
}

func (s *Starts) of(remote string, now time.Time) *rate.Limiter {
	address, _, err := net.SplitHostPort(remote)
	if err != nil {
		address = remote
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.by[address]; l != nil {
		return l
	}
	if len(s.by) >= manyAddresses {
		for a, l := range s.by {
			if l.TokensAt(now) >= startsAtOnce {
				delete(s.by, a)
			}
		}
	}
	if s.by == nil {
		s.by = map[string]*rate.Limiter{}
	}
	l := rate.NewLimiter(startsPerSecond, startsAtOnce)
	s.by[address] = l
	return l
}
