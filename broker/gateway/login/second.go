package login

import (
	"errors"
	"net/http"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// curable reports whether the same login may end well if it is begun once more. So it is where it went by a session of the
// provider's that was just ending, and that happens: who logs out in one tab has others whose pages ask for a login at that
// moment.
func curable(err error) bool {
	_, over := errors.AsType[*session.Ended](err)
	return over || provider.Outdated(err)
}

// second begins a login once more, and says so in the log alone.
func (h *Handler) second(w http.ResponseWriter, r *http.Request, t transaction, cause error) {
	h.log().InfoContext(r.Context(), "a login is begun once more", "reason", fault.From(cause).Code(), "error", cause)
	t.Second = true
	to, err := h.start(w, r, t, "")
	if err != nil {
		h.refuse(w, r, err, t.ReturnTo)
		return
	}
	private(w.Header())
	http.Redirect(w, r, to, http.StatusSeeOther)
}
