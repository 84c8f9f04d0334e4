package egress_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/secret"
)

// TestDenyOfWhatIsPutIn: a rule against a credential or an audience stops the calls that would carry it,
// though the call itself is allowed.
func TestDenyOfWhatIsPutIn(t *testing.T) {
	var reached atomic.Int64
	_, flow := upstream(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	d := newDoor(t, crm(flow)+
		"  inv:\n    upstream: "+flow+"\n    token: { audience: stock, bind: none }\n"+
		"  minted:\n    upstream: "+flow+"\n    inject: { bearer: { mint: { audience: elsewhere } } }\n"+
		"  free:\n    upstream: "+flow+"\n    inject: { bearer: { credential: crm/token } }\n")
	rules := []string{allowAll, "p, **, *, credential/crm/login, deny", "p, **, *, audience/stock, deny", "p, **, *, audience/elsewhere, deny"}
	client := d.client(t, "http/1.1")
	for _, name := range []string{"crm", "inv", "minted", "free"} { // also a token that is kept
		if a := doortest.Do(t, client, "GET", "https://"+name+"/x"); a.StatusCode != 200 {
			t.Fatalf("%s before: %d %s", name, a.StatusCode, a.Text)
		}
	}
	d.rules.set(t, rules...)
	reached.Store(0)
	for _, name := range []string{"crm", "inv", "minted"} {
		a := doortest.Do(t, client, "GET", "https://"+name+"/x")
		if p := a.Problem(t); a.StatusCode != 403 || p.Decision == "" || p.Decision != a.Decision() {
			t.Errorf("%s: %d %+v", name, a.StatusCode, p)
		}
		if o := d.journal.outcome(t, a.Decision()); o.Result != "denied" || o.Credential != "" {
			t.Errorf("%s: the outcome is %+v", name, o)
		}
		if !d.journal.refused(a.Decision()) {
			t.Errorf("%s: the veto is not recorded", name)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("the upstream was reached %d times", reached.Load())
	}
	if a := doortest.Do(t, client, "GET", "https://free/x"); a.StatusCode != 200 {
		t.Errorf("a service with another credential: %d", a.StatusCode)
	}
}

// TestDenyOfOneOfSeveral: of all that would be put in, a rule against one is enough.
func TestDenyOfOneOfSeveral(t *testing.T) {
	var reached atomic.Int64
	_, flow := upstream(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	d := newDoor(t, "  api:\n    upstream: "+flow+"\n    inject:\n      bearer: { credential: crm/token }\n"+
		"      query: { name: tenant, credential: crm/tenant }\n      hmac: { credential: crm/hmac }\n")
	d.store.fields["crm/tenant"] = credential.Fields{"value": secret.FromString("blue")}
	d.store.fields["crm/hmac"] = credential.Fields{"key": secret.FromString("hunter2")}
	client := d.client(t, "h2")
	if a := doortest.Do(t, client, "GET", "https://api/x"); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.Text)
	}
	for _, name := range []string{"crm/token", "crm/tenant", "crm/hmac"} {
		d.rules.set(t, allowAll, "p, **, *, credential/"+name+", deny")
		if a := doortest.Do(t, client, "GET", "https://api/x"); a.StatusCode != 403 || reached.Load() != 1 {
			t.Errorf("%s: %d, reached %d times", name, a.StatusCode, reached.Load())
		}
	}
}

// refused reports whether a decision was recorded as a no.
func (j *journal) refused(decision string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Decision == decision && e.Kind == audit.KindDecision && !e.Allow {
			return true
		}
	}
	return false
}

// TestDenyOfCredentialCutsStreams that carry it already.
func TestDenyOfCredentialCutsStreams(t *testing.T) {
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	d := newDoor(t, crm(flow))
	res, err := d.client(t, "h2").Get("https://crm/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	d.rules.set(t, allowAll, "p, **, *, credential/crm/login, deny")
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the stream ended in order")
	}
	if o := d.journal.last(t); o.Result != "denied" {
		t.Errorf("the outcome is %+v", o)
	}
}

// TestDenyWithOrWithoutSlash: many a server takes both forms of a path for one.
func TestDenyWithOrWithoutSlash(t *testing.T) {
	var reached atomic.Int64
	_, flow := upstream(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	d := newDoor(t, crm(flow))
	const who = "p, spiffe://intercom.test/orders, call, service/crm/"
	d.rules.set(t, allowAll, who+"DELETE/customers/*, deny", who+"GET/admin/, deny", who+"GET/closed, deny")
	client := d.client(t, "http/1.1")
	for request, want := range map[string]int{
		"DELETE /crm/customers/7": 403, "DELETE /crm/customers/7/": 403, "GET /crm/customers/7/": 200,
		"GET /crm/admin": 403, "GET /crm/admin/": 403, "GET /crm/admins": 200,
		"GET /crm/closed": 403, "GET /crm/closed/": 403, "GET /crm/closed/x": 200, "GET /crm/": 200, "GET /crm": 200,
	} {
		reached.Store(0)
		method, path, _ := strings.Cut(request, " ")
		a := doortest.Do(t, client, method, "https://"+d.addr+path)
		if a.StatusCode != want || (reached.Load() == 1) != (want == 200) {
			t.Errorf("%s: %d, want %d; reached %d times", request, a.StatusCode, want, reached.Load())
		}
	}
}
