package bff

import (
	"net/http"
	"slices"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// ReasonAudience is that of an audience whose tokens no page may hold.
const ReasonAudience = "audience_not_allowed"

// mediated is a token that a page holds itself (draft-ietf-oauth-browser-based-apps, section 6.2).
type mediated struct {
	Token    string `json:"access_token"`
	Type     string `json:"token_type"`
	Expires  int64  `json:"expires_in"` // seconds
	Audience string `json:"audience"`
}

// mediate gives a page a token of an audience that its origin may hold tokens of, which is none where the file does
// not say. It is for clients that must speak to a service by themselves; all others have no token, and need none.
//
// The header with the CSRF token is wanted although nothing is changed: no form, no image and no link can set it, and
// another origin's script is asked about first.
func (h *Handler) mediate(w http.ResponseWriter, r *http.Request, o route.Origin) error {
	audience := r.URL.Query().Get("audience")
	if !slices.Contains(o.Tokens, audience) {
		return fault.New(fault.Denied, ReasonAudience, "pages of this origin hold no tokens of this audience")
	}
	v := &visit{Handler: h, w: w, r: r, origin: o}
	var err error
	if v.id, v.who, _, err = h.find(r, o); err != nil {
		return err
	}
	token := r.Header.Get(HeaderCSRF)
	if err := CheckCSRF(r, o, v.id, token); err != nil {
		return err
	}
	if err := checkToken(v.id, token); err != nil {
		return err
	}
	return v.hand(audience)
}

// hand asks policy, for the gateway and for the user, and gives the token out. Each is in the log.
func (v *visit) hand(audience string) (err error) {
	ctx := identity.NewContext(v.r.Context(), identity.Principal{Workload: v.Self(), User: v.memory.user(*v.who)})
	if v.grant, err = v.Point.Check(ctx, policy.ActionExchange, policy.Entity{Type: "audience", ID: audience}); err != nil {
		return refusedBy(err)
	}
	defer func() { v.grant.Done(pep.Outcome{Err: err}) }()
	if err := v.freshen(ctx); err != nil {
		return fault.WithDecision(err, v.grant.ID)
	}
	token, err := v.exchanged(ctx, audience, nil)
	if err != nil {
		return fault.WithDecision(err, v.grant.ID)
	}
	left := v.memory.left(v.now(), v.exchangeKey(audience, nil))
	AddCORS(v.w.Header(), v.r, v.origin)
	v.w.Header().Set(fault.DecisionHeader, v.grant.ID)
	return writeJSON(v.w, mediated{Token: string(token.Reveal()), Type: "Bearer", Expires: seconds(left), Audience: audience})
}
