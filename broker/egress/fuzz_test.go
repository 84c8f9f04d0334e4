package egress_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
)

// FuzzForwardedIsDecided holds that whatever arrives at the upstream is what was decided on, byte for byte,
// and that our credential is the only one in it.
func FuzzForwardedIsDecided(f *testing.F) {
	f.Add("GET", "/crm/a/b", "door.test", "X-User-Id: 1")
	f.Add("POST", "/a%2e%2e/%41", "crm", "authorization: Basic eDp5")
	f.Add("GET", "http://crm/x?a;b", "crm:80", "X_User_Id: 1\r\nX.User.Id: 2")
	f.Add("PUT", "/crm", "CRM.", "Connection: x-user-id")
	f.Add("GET", "/crm/%2f/..;/\\", "[::1]:80", "Cookie: a=b")
	up := &doortest.Recorder{}
	_, flow := upstream(f, up.ServeHTTP)
	catalog, err := service.Parse(map[string][]byte{"t.yaml": []byte("version: 1\nowner: team\nservices:\n  crm:\n    upstream: " + flow +
		"\n    inject: { header: { name: X-User-Id, credential: crm/token } }\n")})
	if err != nil {
		f.Fatal(err)
	}
	log, who := &journal{}, identity.Principal{Workload: identity.Workload{ID: ordersID, Proof: identity.ByX509SVID}}
	h, err := egress.New(egress.Config{Point: &pep.Point{Decider: newRules(f, allowAll), Recorder: log}, Vender: newStore(),
		Services: func() *service.Catalog { return catalog }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, host, fields string) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil || r.ContentLength != 0 || r.Header.Get("Upgrade") != "" {
			return
		}
		up.Take()
		log.events = nil
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(identity.NewContext(t.Context(), who)))
		got := up.Take()
		if got == nil {
			return
		}
		path, _, _ := strings.Cut(got.URI, "?")
		if d := log.events[0]; d.Kind != audit.KindDecision || !d.Allow || d.Resource != (policy.Entity{Type: "service", ID: "crm/" + got.Method + path}).String() {
			t.Fatalf("%q: decided on %q, and %s %s arrived", raw, d.Resource, got.Method, got.URI)
		}
		var b bytes.Buffer
		_ = got.Header.Write(&b)
		folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(b.String()))
		if strings.Count("\n"+folded, "\nx-user-id:") != 1 || got.Header.Get("X-User-Id") != apiToken || got.Header.Get("Authorization") != "" || got.Header.Get("Cookie") != "" {
			t.Fatalf("%q: arrived with %q", raw, b.String())
		}
	})
}
