package localapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
	"github.com/intercom-broker/intercom/sidecar/localapi"
)

// hasty does not wait long for a broker.
func hasty() client.Config { return client.Config{Patience: -1, Timeout: 5 * time.Second} }

func TestBeforeTheFirstList(t *testing.T) {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://localhost/inventory/", nil)
	nobody(t).ServeHTTP(rec, r)
	problem(t, rec.Result(), rec.Body.String(), http.StatusServiceUnavailable, "SERVICES_UNKNOWN")
}

// TestServedWhileTheBrokerIsAway: calls by token go on for the service's budget, and then no more.
func TestServedWhileTheBrokerIsAway(t *testing.T) {
	short := tokenService("short", plain(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), bearer)
	short.Stale = durationpb.New(700 * time.Millisecond)
	long := tokenService("long", short.GetUrl(), bearer)
	w := newWorld(t, setup{client: hasty(), api: localapi.Config{Stale: time.Hour}}, short, long) // a bound, not a budget
	for _, path := range []string{"/short/", "/long/"} {
		if resp, body := w.get(path, nil); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, body)
		}
	}
	w.broker.mesh.pull()
	began := time.Now()
	if resp, body := w.get("/short/", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("at once: %s %s", resp.Status, body)
	}
	eventually(t, "the budget is over", func() bool {
		resp, body := w.get("/short/", nil)
		if resp.StatusCode == http.StatusOK {
			return false
		}
		problem(t, resp, body, http.StatusServiceUnavailable, "SERVICES_STALE")
		return true
	})
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("refused after %v", took)
	}
	if resp, body := w.get("/long/", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("within its budget: %s %s", resp.Status, body)
	}
	resp, body := w.get("/v1/token?audience=elsewhere", asking)
	problem(t, resp, body, http.StatusServiceUnavailable, "BROKER_UNREACHABLE")
	if !strings.Contains(body, w.broker.mesh.Addr().String()) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("no cure: %v %s", resp.Header, body)
	}
}

// TestTokenInAnOutage: one that came due while no broker answers is used to its end, and no further.
func TestTokenInAnOutage(t *testing.T) {
	service := tokenService("inventory", plain(t, http.HandlerFunc(hello)), bearer)
	const life = 3 * time.Second
	w := newWorld(t, setup{client: hasty(), life: life}, service)
	earliest := time.Now().Add(life)
	w.get("/inventory/", nil)
	latest := time.Now().Add(life)
	w.get("/inventory/", nil) // used, so it will be renewed
	w.broker.mesh.pull()
	eventually(t, "it is said to be stale", func() bool {
		_, body := w.get("/v1/token?audience=inventory&scope=read", asking)
		return strings.Contains(body, `"served_from":"stale"`)
	})
	if resp, body := w.get("/inventory/", nil); body != "hello" && time.Now().Before(earliest) {
		t.Errorf("before its end: %s %s", resp.Status, body)
	}
	<-time.After(time.Until(latest) + 10*time.Millisecond)
	resp, body := w.get("/inventory/", nil)
	problem(t, resp, body, http.StatusServiceUnavailable, "BROKER_UNREACHABLE")
}

func TestSidecarsOwnBudget(t *testing.T) {
	long := tokenService("long", plain(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), bearer)
	w := newWorld(t, setup{client: hasty(), api: localapi.Config{Stale: 300 * time.Millisecond}}, long)
	w.get("/long/", nil)
	w.broker.mesh.pull()
	eventually(t, "the sidecar's own budget is over", func() bool {
		_, body := w.get("/long/", nil)
		return strings.Contains(body, "SERVICES_STALE")
	})
}

func TestDeniedCall(t *testing.T) {
	hidden := &intercomv1.Service{Name: "hidden", Mode: intercomv1.Mode_MODE_TOKEN, Audience: "hidden"} // as a broker tells whom it denies
	w := newWorld(t, setup{}, tokenService("inventory", "http://127.0.0.1:1", bearer), hidden)
	for _, audience := range []string{"inventory", "hidden"} {
		w.broker.refuse(audience, fault.WithDecision(fault.New(fault.Denied, "", "policy does not allow it"), "d-77"))
		resp, body := w.get("/"+audience+"/", nil)
		problem(t, resp, body, http.StatusForbidden, "denied")
		if !strings.Contains(body, "d-77") {
			t.Errorf("%s: no decision id: %s", audience, body)
		}
	}
	w.broker.refuse("hidden", nil)
	eventually(t, "the refusal is not repeated any more", func() bool {
		resp, body := w.get("/hidden/", nil)
		if resp.StatusCode == http.StatusForbidden {
			return false
		}
		problem(t, resp, body, http.StatusBadRequest, "NO_UPSTREAM")
		return true
	})
}

func TestHold(t *testing.T) {
	w := newWorld(t, setup{api: localapi.Config{Hold: localapi.Hold{Tokens: []string{"ledger", "other"}, Credentials: []string{"reports/db"}}}},
		tokenService("ledger", "https://127.0.0.1:1", bound))
	eventually(t, "everything is held", func() bool { return len(w.api.Ready()) == 0 })
	if m, l := w.broker.minted.Load(), w.broker.leased.Load(); m != 2 || l != 1 {
		t.Errorf("%d tokens, %d credentials", m, l)
	}
	former := w.client.Conn()
	w.domain.Rotate()
	eventually(t, "the next SVID is in use", func() bool { return w.client.Conn() != former })
	if reasons := w.api.Ready(); len(reasons) > 0 {
		t.Errorf("after a rotation: %q", reasons)
	}
	eventually(t, "only the next SVID's token is held", func() bool { return w.broker.minted.Load() == 3 })
}

func TestNotReadyWithoutWhatIsHeld(t *testing.T) {
	w := newWorld(t, setup{
		api:  localapi.Config{Hold: localapi.Hold{Tokens: []string{"other"}, Credentials: []string{"crm/login"}}},
		deny: map[string]error{"other": fault.WithDecision(fault.New(fault.Denied, "", "policy does not allow it"), "d-55")},
	}, tokenService("ledger", "https://127.0.0.1:1", bound))
	eventually(t, "it says what is missing, and why", func() bool {
		said := strings.Join(w.api.Ready(), "\n")
		return strings.Contains(said, `token for "other" is not held: policy does not allow it (decision d-55)`) &&
			strings.Contains(said, `credential "crm/login" is not held: no such credential`)
	})
	w.broker.refuse("other", nil)
	eventually(t, "the token is held once policy allows it", func() bool {
		return !strings.Contains(strings.Join(w.api.Ready(), "\n"), "other")
	})
}
