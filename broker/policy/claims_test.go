package policy_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
)

// TestClaimsThatDidNotTravel: a user who comes by a token of ours has left its claims behind. A rule that asks
// whether there is one does not learn that there is none: a deny would let that user pass.
func TestClaimsThatDidNotTravel(t *testing.T) {
	const user = "p, user:https://i.test|u, call, service/y/**, "
	for _, condition := range []string{
		"has(r.claims, 'contractor')", "r.claims.contractor == true", "get(r.claims, 'contractor') == true", "!has(r.claims, 'staff')",
	} {
		csv := ok + "\n" + user + "allow\n" + user + "deny, " + quoted(condition)
		index, plain := both(t, csv)
		r := request(t, question)
		r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "u", Proof: identity.ByToken}
		for name, s := range map[string]*policy.Snapshot{"index": index, "casbin": plain} {
			if d, err := s.Decide(t.Context(), r); err != nil || d.Allow || d.Err == nil || d.Reason != policy.ReasonFailed {
				t.Errorf("%s: %s: %+v, %v", name, condition, d, err)
			}
		}
	}
	// What does not ask for claims is not hindered, and what the issuer itself vouched for is known to be whole.
	s := mustLoad(t, ok+"\n"+user+"allow, r.time.hour < 24\n"+user+"deny, "+quoted("has(r.claims, 'contractor')"))
	r := request(t, question)
	r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "u", Proof: identity.ByOIDC}
	if d, err := s.Decide(t.Context(), r); err != nil || !d.Allow {
		t.Errorf("by the issuer's token: %+v, %v", d, err)
	}
	s = mustLoad(t, ok+"\n"+user+"allow, r.time.hour < 24")
	r.Principal.User.Proof = identity.ByToken
	if d, err := s.Decide(t.Context(), r); err != nil || !d.Allow {
		t.Errorf("a condition on the time: %+v, %v", d, err)
	}
}
