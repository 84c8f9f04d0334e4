package policy_test

import (
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// request reads "SUBJECT ACTION RESOURCE".
func request(t testing.TB, question string) policy.Request {
	t.Helper()
	words := strings.Fields(question)
	r := policy.Request{Action: words[1]}
	r.Principal.Workload = identity.Workload{ID: spiffeid.RequireFromString(words[0]), Proof: identity.ByX509SVID}
	r.Resource.Type, r.Resource.ID, _ = strings.Cut(words[2], "/")
	return r
}

func decide(t testing.TB, s policy.Decider, question string) policy.Decision {
	t.Helper()
	d, err := s.Decide(t.Context(), request(t, question))
	if err != nil {
		t.Fatal(err)
	}
	return d
}
