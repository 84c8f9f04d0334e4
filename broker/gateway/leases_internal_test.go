package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// TestLeases: one question for many uses; a lease that cannot be renewed serves until its end and not after it, and
// one that a service refused is asked for anew, but not with each request.
func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, away, denied := 0, false, false
		l := &leases{lease: func(context.Context, *intercomv1.LeaseRequest) (*intercomv1.LeaseResponse, error) {
			switch asked++; {
			case away:
				return nil, errors.New("no broker")
			case denied:
				return nil, fault.New(fault.Denied, "", "no")
			}
			return &intercomv1.LeaseResponse{Credential: &intercomv1.Credential{
				Fields: map[string][]byte{"password": {byte('0' + asked)}}, RenewAfter: timestamppb.New(time.Now().Add(2 * time.Minute)),
				NotAfter: timestamppb.New(time.Now().Add(3 * time.Minute)),
			}}, nil
		}}
		want := func(what, value string, questions int) {
			t.Helper()
			got, err := l.field(t.Context(), "portal/api", "password")
			if text := string(got.Reveal()); text != value || (err != nil) != (value == "") || asked != questions {
				t.Errorf("%s: %q, %v, asked %d times", what, text, err, asked)
			}
		}
		want("the first", "1", 1)
		want("the second", "1", 1)
		l.refused("portal/api")
		want("refused at once", "1", 1)
		time.Sleep(lately + time.Second)
		l.refused("portal/api")
		want("refused later", "2", 2)
		away = true
		time.Sleep(2*time.Minute + time.Second)
		want("renewal fails", "2", 3)
		time.Sleep(time.Minute)
		want("after its end", "", 4)
		away = false
		want("the broker is back", "5", 5)
		denied = true
		time.Sleep(2*time.Minute + time.Second)
		want("the broker says no", "", 6)
		denied = false
		if _, err := l.field(t.Context(), "portal/api", "token"); err == nil {
			t.Error("a field that is none")
		}
	})
}
