package identity_test

import (
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func TestNobody(t *testing.T) {
	if _, ok := identity.FromContext(t.Context()); ok {
		t.Error("an empty context has a principal")
	}
	ctx := identity.NewContext(t.Context(), identity.Principal{User: &identity.User{Subject: "alice"}})
	if _, ok := identity.FromContext(ctx); ok {
		t.Error("a principal without a workload is somebody")
	}
}

func TestNotAfterIsTheEarliest(t *testing.T) {
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	w := identity.Workload{ID: spiffeid.RequireFromString("spiffe://a.test/web"), NotAfter: late}
	for name, c := range map[string]struct {
		p    identity.Principal
		want time.Time
	}{
		"workload alone":   {identity.Principal{Workload: w}, late},
		"user ends first":  {identity.Principal{Workload: w, User: &identity.User{NotAfter: early}}, early},
		"user ends later":  {identity.Principal{Workload: w, User: &identity.User{NotAfter: late.Add(time.Hour)}}, late},
		"user without end": {identity.Principal{Workload: w, User: &identity.User{}}, late},
	} {
		if got := c.p.NotAfter(); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestNamesForPolicy(t *testing.T) {
	p := identity.Principal{
		Workload: identity.Workload{ID: spiffeid.RequireFromString("spiffe://a.test/web")},
		User:     &identity.User{Issuer: "https://idp.test", Subject: "alice"},
	}
	if p.Subject() != "spiffe://a.test/web" || p.User.SubjectName() != "user:https://idp.test|alice" {
		t.Errorf("subject %q, user %q", p.Subject(), p.User.SubjectName())
	}
}
