package logout

import (
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// backchannel is where the provider's logout tokens come (Back-Channel Logout 1.0, section 2.5). No cookie is
// looked at, and nothing slow is waited for: the provider keeps its user waiting for the answer.
func (h *Handler) backchannel(w http.ResponseWriter, r *http.Request) {
	private(w.Header())
	err := h.told(w, r)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusOK)
	case fault.KindOf(err) == fault.Unavailable, fault.KindOf(err) == fault.Timeout:
		h.log().ErrorContext(r.Context(), "a back-channel logout could not be carried out yet", "error", err)
		fault.WriteProblem(w, err)
	default:
		h.log().WarnContext(r.Context(), "a logout token was refused", "error", err)
		h.refuse(w, r)
	}
}

// told carries out what a logout token says.
func (h *Handler) told(w http.ResponseWriter, r *http.Request) error {
	raw, err := logoutToken(w, r)
	if err != nil {
		return err
	}
	l, err := h.Provider.VerifyLogoutToken(r.Context(), raw)
	if fault.From(err).Reason == provider.ReasonReplayed {
		return h.Sessions.Settle(r.Context()) // the first time may have failed
	} else if err != nil {
		return err
	}
	ended, err := h.Sessions.Logout(r.Context(), session.Logout{Issuer: l.Issuer, SID: l.SID, Subject: l.Subject, IssuedAt: l.IssuedAt})
	if err != nil {
		return err
	}
	h.log().InfoContext(r.Context(), "the provider ended sessions", "sessions", len(ended))
	h.revokeAll(r.Context(), ended)
	return nil
}

func logoutToken(w http.ResponseWriter, r *http.Request) (string, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return "", fault.New(fault.InvalidRequest, "", "a logout token comes as a form")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return "", fault.New(fault.InvalidRequest, "", "the form cannot be read").Because(err)
	}
	tokens := r.PostForm["logout_token"]
	if len(tokens) != 1 {
		return "", fault.New(fault.InvalidRequest, "", "want one logout_token")
	}
	return tokens[0], nil
}

// refuse answers a token that is not good (section 2.8). Who sends many is slowed; a good token never is,
// since providers send theirs from one address, and once.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request) {
	status := http.StatusBadRequest
	if !h.Failures.allow(r, h.now()) {
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": "the logout token is not valid"})
}

// frontchannel ends the session of the browser that it is called in, if it is the one that is named (Front-
// Channel Logout 1.0, section 3). Only the provider may frame the answer.
func (h *Handler) frontchannel(w http.ResponseWriter, r *http.Request, o route.Origin) {
	private(w.Header())
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+issuerOrigin(h.Provider.Issuer()))
	if err := unasked(r); err != nil {
		fault.WriteProblem(w, err)
		return
	}
	q := r.URL.Query()
	id, held := session.FindID(r, h.Cookie(o))
	if q.Get("iss") != h.Provider.Issuer() || q.Get("sid") == "" {
		fault.WriteProblem(w, fault.New(fault.InvalidRequest, ReasonIssuer, "want the provider's iss, and a sid"))
		return
	}
	if held {
		if err := h.endNamed(w, r, o, id, q.Get("sid")); err != nil {
			fault.WriteProblem(w, err)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

func (h *Handler) endNamed(w http.ResponseWriter, r *http.Request, o route.Origin, id session.ID, sid string) error {
	s, err := h.Sessions.Get(r.Context(), id)
	if fault.KindOf(err) == fault.Unauthenticated && err != nil {
		return nil
	}
	if err != nil || s.SID != sid {
		return err
	}
	if err := h.Sessions.End(r.Context(), s, session.ReasonProvider); err != nil {
		return err
	}
	h.Forget(w, o)
	h.revokeLater(r.Context(), s)
	return nil
}

// Failures bounds forged logout tokens by address. The zero Failures is ready for use; a nil one bounds
// nothing.
type Failures struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

const (
	failuresPerSecond = 1
	failuresAtOnce    = 30
	manyAddresses     = 8192
)

// allow notes a failure, and reports whether it is within the address's share.
func (f *Failures) allow(r *http.Request, now time.Time) bool {
	if f == nil {
		return true
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.by[address]
	if l == nil {
		if f.by == nil || len(f.by) >= manyAddresses {
			f.by = map[string]*rate.Limiter{}
		}
		l = rate.NewLimiter(failuresPerSecond, failuresAtOnce)
		f.by[address] = l
	}
	return l.AllowN(now, 1)
}
