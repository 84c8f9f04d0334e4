package login

import (
	"crypto/subtle"
	"net"
	"net/http"
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
	bindingName = "__Host-Http-ic-tx"
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

// browser returns the value of the binding cookie, and sets it anew: the ten minutes count from the latest
// login. It is Lax, since the provider's redirect comes from another site.
func (h *Handler) browser(w http.ResponseWriter, r *http.Request) string {
	value := newBrowser()
	if held, ok := binding(r); ok {
		value = held
	}
	http.SetCookie(w, &http.Cookie{
		Name: bindingName, Value: value, Path: "/", MaxAge: int(Life / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return value
}

// binding returns the value of the one binding cookie, if it is one of ours in form.
func binding(r *http.Request) (string, bool) {
	found := r.CookiesNamed(bindingName)
	if len(found) != 1 {
		return "", false
	}
	_, ok := session.ParseID(found[0].Value) // the same form: 256 bits
	return found[0].Value, ok
}

// isOf reports whether the transaction was begun in the browser that r comes from.
func (t transaction) isOf(r *http.Request) bool {
	value, ok := binding(r)
	got := digest(value)
	return ok && subtle.ConstantTimeCompare(got[:], t.Browser[:]) == 1
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
