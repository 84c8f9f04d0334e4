package runbooks_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// clock is the provider's, or the trust domain's. Of two clocks only the difference is seen: that the provider's is ahead looks to a gateway and its
// users as if the gateway's were behind.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time         { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *clock) ahead(by time.Duration) { c.off.Store(int64(by)) }

// dates has answers dated by the clock: net/http knows the machine's only.
func (c *clock) dates(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", c.now().UTC().Format(http.TimeFormat))
		next.ServeHTTP(w, r)
	})
}

// TestClockWrong lets the provider's clock and the gateways' be apart, a little and in both directions.
func TestClockWrong(t *testing.T) {
	t.Parallel()
	page := open(t, "clock-wrong.md", "near", "ahead", "behind")
	theirs := &clock{}
	w := atOurs(t, one(stack.StartRedis(t, stack.RedisOptions{})), openid.Config{AccessLife: tokenLife, Now: theirs.now})
	w.IDP.Break(openid.PathJWKS, theirs.dates)

	near := &seen{}
	theirs.ahead(20 * time.Second)
	w.person(t).loggedIn().fetches(near, "/orders/1")
	w.intercom(t, near, "doctor --gateway gateway.yaml")
	page.holds("near", near)

	for _, c := range []struct {
		name string
		by   time.Duration
	}{{"ahead", 5 * time.Minute}, {"behind", -5 * time.Minute}} {
		theirs.ahead(0)
		alice, s := w.person(t).loggedIn(), &seen{}
		_, before := w.log.since(0)
		theirs.ahead(c.by)
		gatewaytest.Eventually(t, "the tokens are refreshed, and the session lives", func() bool {
			lines, _ := w.log.since(before)
			return alice.works("/files/1") && strings.Contains(strings.Join(lines, "\n"), "clock and ours are apart")
		})
		alice.fetches(s, "/files/1")
		alice.fetches(s, "/orders/1")
		w.person(t).login(s)
		w.IDP.EndSession(t.Context(), "alice")
		alice.fetches(s, "/bff/session")
		w.admin(t, s, "/readyz")
		w.intercom(t, s, "doctor --gateway gateway.yaml")
		gatewaytest.Eventually(t, "the next refresh ends the session", func() bool {
			return alice.fetches(s, "/news/1").StatusCode == http.StatusOK && !alice.works("/files/1")
		})
		w.logs(s)
		page.holds(c.name, s)
	}
}

// TestClockBehindSPIRE lets the trust domain issue what does not count yet.
func TestClockBehindSPIRE(t *testing.T) {
	t.Parallel()
	page := open(t, "clock-wrong.md", "svid")
	theirs := &clock{}
	w := (&world{now: theirs.now}).atOurs(t, one(stack.StartRedis(t, stack.RedisOptions{})), openid.Config{})
	alice, s := w.person(t).loggedIn(), &seen{}
	theirs.ahead(5 * time.Minute)
	w.Broker.Domain.Rotate()
	gatewaytest.Eventually(t, "the gateways say that they keep theirs", func() bool {
		lines, _ := w.log.since(0)
		return strings.Contains(strings.Join(lines, "\n"), "identity is not renewed")
	})
	alice.fetches(s, "/orders/1")
	w.admin(t, s, "/metrics")
	w.admin(t, s, "/readyz")
	w.intercom(t, s, "doctor --gateway gateway.yaml")
	w.logs(s)
	page.holds("svid", s)
}
