package login

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"

	"github.com/intercom-broker/intercom/broker/gateway/route"
)

// purpose is what a login is for. It is kept for as long as a login may take, also when its transaction is over: who comes
// late, or twice, is still led there.
type purpose struct {
	// Browser is the digest of the cookie of the browser that it is for.
	Browser [sha256.Size]byte
	// Origin is where it began, and ReturnTo where it leads.
	Origin, ReturnTo string
}

// purposeKey is the name of a login's purpose in the store.
func purposeKey(state string) string { return nameOf("intercom login purpose", state) }

// isOf reports whether the login was begun in the browser that r comes from.
func (p purpose) isOf(r *http.Request) bool {
	return slices.ContainsFunc(bindings(r), func(value string) bool {
		got := digest(value)
		return subtle.ConstantTimeCompare(got[:], p.Browser[:]) == 1
	})
}

// put keeps a transaction, and apart from it what it is for.
func (h *Handler) put(ctx context.Context, t transaction) error {
	state := string(t.State.Reveal())
	sealed, err := seal(state, purposeKey(state), t.purpose)
	if err != nil {
		return err
	}
	if err := h.Store.Keep(ctx, purposeKey(state), sealed); err != nil {
		return err
	}
	if sealed, err = t.seal(); err != nil {
		return err
	}
	return h.Store.Put(ctx, t.Browser, key(state), sealed)
}

// late is for an answer whose transaction is over: another tab was faster, or it is the button for back, or the browser has
// begun eight others since. Who is logged in is led to where this login was to lead.
func (h *Handler) late(w http.ResponseWriter, r *http.Request, o route.Origin, state string, err error) {
	to := h.purposeOf(r, o, state)
	if !h.alive(r, o) {
		h.refuse(w, r, err, to)
		return
	}
	lead(w, r, cmp.Or(to, o.Start()))
}

// purposeOf returns where a login leads that was begun in this browser, at this origin; empty where that is not known.
func (h *Handler) purposeOf(r *http.Request, o route.Origin, state string) string {
	var p purpose
	sealed, err := h.Store.Look(r.Context(), purposeKey(state))
	if err != nil || sealed == nil || open(state, purposeKey(state), sealed, &p) != nil || p.Origin != o.URL || !p.isOf(r) {
		return ""
	}
	return p.ReturnTo
}
