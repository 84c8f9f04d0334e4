package egress_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

func TestCallInjects(t *testing.T) {
	url, flow := upstream(t, doortest.Echo)
	lines := crm(flow) +
		"  bearer:\n    upstream: " + flow + "\n    inject: { bearer: { credential: crm/token } }\n" +
		"  keyed:\n    upstream: " + flow + "\n    inject: { header: { name: x-api-key, prefix: 'Key ', credential: crm/token } }\n" +
		"  minted:\n    upstream: " + flow + "\n    inject: { bearer: { mint: { audience: elsewhere, scope: [read, write] } } }\n" +
		"  tokened:\n    upstream: " + flow + "\n    token: { bind: none }\n" +
		"  based:\n    upstream: " + strings.Replace(flow, url, url+"/base/v1", 1) + "\n    inject: { basic: { credential: crm/login } }\n"
	d := newDoor(t, lines)
	want := map[string][2]string{
		"crm": {"Authorization", basic}, "bearer": {"Authorization", "Bearer " + apiToken}, "keyed": {"X-Api-Key", "Key " + apiToken},
		"minted": {"Authorization", "Bearer minted.elsewhere.read+write.."}, "tokened": {"Authorization", "Bearer minted.tokened..."},
		"based": {"Authorization", basic},
	}
	order := []string{"crm", "bearer", "keyed", "minted", "tokened", "based"}
	doortest.Protocols(t, func(t *testing.T, proto string) {
		client := d.client(t, proto)
		for _, name := range order {
			for _, url := range []string{"https://" + d.addr + "/" + name + "/a/%62?x=1;y=%zz", "https://" + name + "/a/b?x=1;y=%zz"} {
				a := doortest.Do(t, client, "GET", url, doortest.Header("X-Api-Key", "mine"), doortest.Header("Authorization", "Bearer mine"), doortest.Header("X-Tenant", "t1"))
				got := a.Seen(t)
				field := want[name][0]
				if !strings.HasPrefix(got.Header.Get(field), want[name][1]) || len(got.Header[field]) != 1 {
					t.Errorf("%s: %s is %q, want %q", url, field, got.Header[field], want[name][1])
				}
				if field != "Authorization" && got.Header.Get("Authorization") != "" {
					t.Errorf("%s: the caller's Authorization arrived", url)
				}
				path := map[bool]string{true: "/base/v1/a/b", false: "/a/b"}[name == "based"]
				if got.URI != path+"?x=1;y=%zz" || got.Header.Get("X-Tenant") != "t1" || strings.Contains(got.Host, name) {
					t.Errorf("%s: arrived as %+v", url, got)
				}
				if a.Decision() == "" {
					t.Errorf("%s: no decision in %v", url, a.Header)
				}
			}
		}
	})
}

func TestCallIsRecorded(t *testing.T) {
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "0123456789") })
	d := newDoor(t, crm(flow))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		a := doortest.Do(t, d.client(t, proto), "POST", "https://"+d.addr+"/crm/a/b", func(r *http.Request) {
			r.Body, r.ContentLength = http.NoBody, 0
		})
		outcome := d.journal.outcome(t, a.Decision())
		if outcome.Credential != "crm/login" || outcome.Version != 7 || outcome.Result != "ok" || outcome.Bytes != 10 {
			t.Errorf("outcome is %+v", outcome)
		}
		i := slices.IndexFunc(d.journal.events, func(e audit.Event) bool { return e.Decision == a.Decision() })
		e := d.journal.events[i]
		if e.Action != "call" || e.Resource != "service/crm/POST/a/b" || e.Subject != "spiffe://intercom.test/orders" || !e.Allow {
			t.Errorf("decision is %+v", e)
		}
	})
}

// TestRefusals names the answers that are ours, over both protocols.
func TestRefusals(t *testing.T) {
	var reached atomic.Int64
	_, flow := upstream(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	d := newDoor(t, crm(flow)+
		"  lost:\n    upstream: "+flow+"\n    inject: { basic: { credential: crm/lost } }\n"+
		"  odd:\n    upstream: "+flow+"\n    inject: { basic: { credential: crm/token } }\n"+
		"  leased:\n    vend: { credential: crm/login }\n"+
		"  ledger: https://127.0.0.1:1\n"+
		"  far:\n    token: { bind: none }\n")
	d.rules.set(t, "p, spiffe://intercom.test/orders, call, service/*/GET/**, allow")
	tests := map[string]struct {
		method, path string
		status       int
		code         string
		decided      bool
	}{
		"denied":              {"POST", "/crm/x", 403, "denied", true},
		"unknown, denied":     {"POST", "/nowhere/x", 403, "denied", true},
		"unknown, allowed":    {"GET", "/nowhere/x", 404, "SERVICE_UNKNOWN", true},
		"no name":             {"GET", "/", 400, "SERVICE_NOT_NAMED", false},
		"no such name":        {"GET", "/C%52M/x", 400, "SERVICE_NOT_NAMED", false},
		"path":                {"GET", "/crm/a%2fb", 400, "REQUEST_REFUSED", false},
		"method":              {"TRACE", "/crm/x", 501, "METHOD_REFUSED", false},
		"credential missing":  {"GET", "/lost/x", 503, "CREDENTIAL_UNKNOWN", true},
		"credential unusable": {"GET", "/odd/x", 500, "CREDENTIAL_UNUSABLE", true},
		"vended":              {"GET", "/leased/x", 501, "SERVICE_NOT_PROXIED", true},
		"bound":               {"GET", "/ledger/x", 501, "SERVICE_NOT_PROXIED", true},
		"without a place":     {"GET", "/far/x", 501, "SERVICE_NOT_PROXIED", true},
	}
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for name, test := range tests {
			a := doortest.Do(t, d.client(t, proto), test.method, "https://"+d.addr+test.path)
			p := a.Problem(t)
			if a.StatusCode != test.status || p.Status != test.status || p.Code != test.code || (p.Decision != "") != test.decided || p.Decision != a.Decision() {
				t.Errorf("%s: %d %+v", name, a.StatusCode, p)
			}
			if strings.Contains(a.Text, "crm/") || strings.Contains(a.Text, "127.0.0.1") {
				t.Errorf("%s: says too much: %s", name, a.Text)
			}
		}
		a := doortest.Do(t, d.clientOf(t, "/stranger", proto), "GET", "https://"+d.addr+"/crm/x")
		if a.StatusCode != 403 {
			t.Errorf("a stranger got %d", a.StatusCode)
		}
	})
	if reached.Load() != 0 {
		t.Errorf("the upstream was reached %d times", reached.Load())
	}
}

// TestNothingIsInjectedPastTheDeadline is the promise about outages.
func TestNothingIsInjectedPastTheDeadline(t *testing.T) {
	var reached atomic.Int64
	_, flow := upstream(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	d := newDoor(t, crm(flow))
	client := d.client(t, "h2")
	d.store.deadline = time.Now().Add(time.Hour)
	if a := doortest.Do(t, client, "GET", "https://crm/"); a.StatusCode != 200 || reached.Load() != 1 {
		t.Fatalf("within the budget: %d", a.StatusCode)
	}
	for _, outage := range []struct {
		code     string
		deadline time.Time
		err      error
	}{
		{"CREDENTIAL_STALE", time.Now().Add(-time.Millisecond), nil},
		{"VAULT_SEALED", time.Time{}, fault.New(fault.Unavailable, "VAULT_SEALED", "the vault is sealed")},
	} {
		d.store.deadline, d.store.err = outage.deadline, outage.err
		a := doortest.Do(t, client, "GET", "https://crm/")
		if p := a.Problem(t); a.StatusCode != 503 || p.Code != outage.code || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %+v %v", outage.code, a.StatusCode, p, a.Header)
		}
	}
	if reached.Load() != 1 {
		t.Error("the upstream was reached")
	}
}

func TestNoRecordNoCall(t *testing.T) {
	reached := false
	_, flow := upstream(t, func(http.ResponseWriter, *http.Request) { reached = true })
	d := newDoor(t, crm(flow))
	d.journal.err = fault.New(fault.Unavailable, "AUDIT_FULL", "the audit log is full")
	if a := doortest.Do(t, d.client(t, "h2"), "GET", "https://crm/"); a.StatusCode < 500 || reached {
		t.Errorf("got %d, reached: %v", a.StatusCode, reached)
	}
}

func TestNew(t *testing.T) {
	if _, err := egress.New(egress.Config{}); err == nil {
		t.Error("a door without a policy opened")
	}
}

// TestCatalogueChanges moves a service while the door is open.
func TestCatalogueChanges(t *testing.T) {
	url, one := upstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "one") })
	_, two := upstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "two") })
	d := newDoor(t, crm(one))
	client := d.client(t, "h2")
	var got []string
	for _, lines := range []string{crm(one), crm(two), strings.ReplaceAll(crm(two), "crm:", "other:"), crm(one), crm(`"` + url + `"`)} {
		d.services(t, lines)
		a := doortest.Do(t, client, "GET", "https://"+d.addr+"/crm/")
		got = append(got, fmt.Sprint(a.StatusCode, " ", a.Text[:min(3, len(a.Text))]))
	}
	if diff := cmp.Diff([]string{"200 one", "200 two", "404 {\"t", "200 one", "502 {\"t"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestRootIsAPath: a rule for everything of a service is also for its root.
func TestRootIsAPath(t *testing.T) {
	_, flow := upstream(t, doortest.Echo)
	d := newDoor(t, crm(flow))
	d.rules.set(t, "p, spiffe://intercom.test/orders, call, service/crm/GET/**, allow")
	for _, url := range []string{"https://crm/", "https://crm", "https://" + d.addr + "/crm", "https://" + d.addr + "/crm/"} {
		a := doortest.Do(t, d.client(t, "h2"), "GET", url)
		if a.StatusCode != http.StatusOK || a.Seen(t).URI != "/" {
			t.Errorf("%s: %d %s", url, a.StatusCode, a.Text)
		}
	}
}

// TestExpectIsAnswered here, so that no caller waits for an upstream that does not know it.
func TestExpectIsAnswered(t *testing.T) {
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Header.Get("Expect"), string(body))
	})
	d := newDoor(t, crm(flow))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		client := d.client(t, proto)
		client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
		a := doortest.Do(t, client, "POST", "https://crm/", doortest.Header("Expect", "100-continue"), func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
		})
		if a.Text != "hello" {
			t.Errorf("got %d %q", a.StatusCode, a.Text)
		}
	})
}
