package egress

import (
	"net/http"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
)

// again is what a 401 of the upstream leads to, where something of what was put in came from the store: the
// credential may have been replaced there and not yet here. The store is asked anew, at most once in a second
// for each credential; where it has another version, or the authorization server another token, the request is
// sent once more. Otherwise the 401 passes.
//
// A 401 says that the request was not carried out for want of credentials (RFC 9110, section 15.5.2), so that
// section 9.2.2 does not forbid to repeat it, whatever its method. What cannot be repeated is a body that has
// gone by: bodies are not kept for this, only sent again where there is none, or where a signature wanted it
// whole. The credential is asked for in any case, so that the caller's own next attempt has the new one.
func (a *act) again(r *http.Request, refused *http.Response) (*http.Response, error) {
	a.doubt()
	if !a.whole && r.Body != nil && r.Body != http.NoBody {
		return refused, nil
	}
	before := a.attempt
	if err := a.buildHeader(); err != nil || !a.newer(&before) {
		a.attempt = before
		return refused, nil
	}
	_ = refused.Body.Close() // and with it the connection, if need be: the rest of the answer may take its time
	a.upstream.counters.repeated()
	return a.transport().RoundTrip(a.repeat(r))
}

// repeat returns r with the new attempt in it.
func (a *act) repeat(r *http.Request) *http.Request {
	next := r.WithContext(r.Context())
	u := a.where()
	next.URL = &u
	next.Header, next.Host = a.header, a.host
	if next.Header["User-Agent"] == nil {
		next.Header["User-Agent"] = []string{""} // as ReverseProxy does, so that net/http adds none
	}
	if a.whole {
		a.setBody(next)
	}
	return next
}

// doubt tells where credentials and tokens come from that those of the attempt were not taken.
func (a *act) doubt() {
	h := a.handler
	for _, u := range a.uses[:a.used] {
		if h.doubts.may("credential "+u.name, h.cfg.Now()) {
			h.cfg.Vender.Doubt(credential.Name(u.name))
		}
		if a.upstream.tokens != nil && !u.token.IsZero() && h.doubts.may("token "+a.label(), h.cfg.Now()) {
			a.upstream.tokens.Doubt(u.token)
		}
	}
}

// pace bounds what a service that answers 401 to everything costs the store.
type pace struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const (
	doubtPace = time.Second
	maxPaced  = 4096 // keys come from the service files
)

func (p *pace) may(key string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, ok := p.last[key]; ok && now.Before(last.Add(doubtPace)) {
		return false
	}
	if p.last == nil || len(p.last) >= maxPaced {
		p.last = map[string]time.Time{}
	}
	p.last[key] = now
	return true
}
