package localapi_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
	"github.com/intercom-broker/intercom/sidecar/localapi"
)

func asking(r *http.Request) { r.Header.Set(localapi.RequestHeader, "1") }

func TestTokenAPI(t *testing.T) {
	w := newWorld(t, setup{},
		tokenService("inventory", "http://127.0.0.1:1", bearer), tokenService("ledger", "https://127.0.0.1:1", bound))
	resp, body := w.get("/v1/token?audience=inventory&scope=read", asking)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get(fault.DecisionHeader) != "d-1" {
		t.Errorf("%s %v %s", resp.Status, resp.Header, body)
	}
	var got struct {
		AccessToken string    `json:"access_token"`
		TokenType   string    `json:"token_type"`
		ExpiresIn   int       `json:"expires_in"`
		ExpiresAt   time.Time `json:"expires_at"`
		Scope       string    `json:"scope"`
		ServedFrom  string    `json:"served_from"`
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if got.TokenType != "Bearer" || got.ExpiresIn < 290 || got.Scope != "read" || got.ServedFrom != "live" || time.Until(got.ExpiresAt) < 290*time.Second {
		t.Errorf("got %+v", got)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+got.AccessToken)
	if how, err := w.verified(r, "inventory"); how != "bearer" {
		t.Errorf("the token is %q, %v", how, err)
	}
	if _, body = w.get("/v1/token?audience=inventory&scope=read", asking); !strings.Contains(body, `"served_from":"cache"`) {
		t.Errorf("the second time: %s", body)
	}
	resp, body = w.get("/v1/token?audience=ledger", asking)
	problem(t, resp, body, http.StatusForbidden, "BOUND_TOKEN")
	if !strings.Contains(body, "/ledger/") {
		t.Errorf("no cure: %s", body)
	}
	if n := w.broker.minted.Load(); n != 1 {
		t.Errorf("%d tokens minted", n)
	}
}

func TestCredentialAPI(t *testing.T) {
	w := newWorld(t, setup{}, &intercomv1.Service{Name: "reports", Mode: intercomv1.Mode_MODE_VEND, Credential: "reports/db"})
	resp, body := w.get("/v1/credential?name=reports/db", asking)
	var got struct {
		Name       string            `json:"name"`
		Version    int               `json:"version"`
		Fields     map[string]string `json:"fields"`
		Binary     map[string]string `json:"binary"`
		NotAfter   time.Time         `json:"not_after"`
		ServedFrom string            `json:"served_from"`
		Decision   string            `json:"decision"`
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if resp.Header.Get("Cache-Control") != "no-store" || got.Name != "reports/db" || got.Version != 7 || got.ServedFrom != "live" || got.Decision != "d-1" {
		t.Errorf("%v %+v", resp.Header, got)
	}
	if got.Fields["username"] != "rep" || got.Fields["password"] != `s3cr"et` || got.Binary["salt"] != base64.StdEncoding.EncodeToString([]byte{0xff, 0xfe}) {
		t.Errorf("fields %v, binary %v", got.Fields, got.Binary)
	}
	if time.Until(got.NotAfter) < 290*time.Second {
		t.Errorf("ends at %v", got.NotAfter)
	}
	if _, body = w.get("/v1/credential?name=reports/db", asking); !strings.Contains(body, `"served_from":"cache"`) || w.broker.leased.Load() != 1 {
		t.Errorf("the second time: %s", body)
	}
	resp, body = w.get("/reports/", nil)
	problem(t, resp, body, http.StatusBadRequest, "VEND_SERVICE")
	resp, body = w.get("/v1/credential?name=crm/login", asking)
	problem(t, resp, body, http.StatusNotFound, "CREDENTIAL_UNKNOWN")
}

// TestLeaseEnds: the first of the two ends counts, and what has none is not handed out.
func TestLeaseEnds(t *testing.T) {
	in := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }
	for name, test := range map[string]struct {
		notAfter, hard *timestamppb.Timestamp
		want           time.Duration // zero: refused
	}{
		"the lease's end first":   {in(time.Minute), in(time.Hour), time.Minute},
		"the hard deadline first": {in(time.Hour), in(time.Minute), time.Minute},
		"the lease's end alone":   {in(time.Minute), nil, time.Minute},
		"the hard deadline alone": {nil, in(time.Minute), time.Minute},
		"neither":                 {nil, nil, 0},
	} {
		w := newWorld(t, setup{})
		w.broker.change(func(b *smallBroker) {
			b.edit = func(r *intercomv1.LeaseResponse) {
				r.Credential.NotAfter, r.Provenance.HardDeadline = test.notAfter, test.hard
			}
		})
		resp, body := w.get("/v1/credential?name=reports/db", asking)
		var got struct {
			NotAfter time.Time `json:"not_after"`
		}
		must(t, json.Unmarshal([]byte(body), &got))
		if left := time.Until(got.NotAfter); test.want > 0 && (left < test.want-10*time.Second || left > test.want) {
			t.Errorf("%s: ends in %v, want %v: %s", name, left, test.want, body)
		} else if test.want == 0 && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
}

// TestLeaseIsRenewedWhenItsSourceSays: long before two thirds of its life.
func TestLeaseIsRenewedWhenItsSourceSays(t *testing.T) {
	w := newWorld(t, setup{})
	w.broker.change(func(b *smallBroker) {
		b.edit = func(r *intercomv1.LeaseResponse) {
			r.Credential.RenewAfter = timestamppb.New(time.Now().Add(time.Second))
		}
	})
	w.get("/v1/credential?name=reports/db", asking)
	w.get("/v1/credential?name=reports/db", asking)
	eventually(t, "it is renewed", func() bool { return w.broker.leased.Load() == 2 })
}

func TestAPIRefuses(t *testing.T) {
	w := newWorld(t, setup{}, tokenService("inventory", "http://127.0.0.1:1", bearer))
	w.broker.refuse("forbidden", fault.WithDecision(fault.New(fault.Denied, "", "policy does not allow it"), "d-99"))
	for name, test := range map[string]struct {
		method, path string
		edit         func(*http.Request)
		status       int
		code         string
	}{
		"without the header": {"GET", "/v1/token?audience=inventory", nil, 403, "HEADER_MISSING"},
		"with another value": {"GET", "/v1/token?audience=inventory", func(r *http.Request) { r.Header.Set(localapi.RequestHeader, "true") }, 403, "HEADER_MISSING"},
		"with two of them":   {"GET", "/v1/token?audience=inventory", func(r *http.Request) { r.Header[localapi.RequestHeader] = []string{"1", "1"} }, 403, "HEADER_MISSING"},
		"from a page": {"GET", "/v1/token?audience=inventory", func(r *http.Request) {
			asking(r)
			r.Header.Set("Sec-Fetch-Mode", "cors")
			r.Header.Set("Sec-Fetch-Site", "same-site")
		}, 403, "BROWSER"},
		"by another host":  {"GET", "/v1/token?audience=inventory", func(r *http.Request) { asking(r); r.Host = "evil.example" }, 403, "FOREIGN_HOST"},
		"by POST":          {"POST", "/v1/token?audience=inventory", asking, 405, "METHOD"},
		"no audience":      {"GET", "/v1/token", asking, 400, "BAD_QUERY"},
		"an empty one":     {"GET", "/v1/token?audience=", asking, 400, "BAD_QUERY"},
		"two of them":      {"GET", "/v1/token?audience=a&audience=b", asking, 400, "BAD_QUERY"},
		"an unknown one":   {"GET", "/v1/token?audience=a&resource=b", asking, 400, "BAD_QUERY"},
		"a control in it":  {"GET", "/v1/token?audience=a%0ab", asking, 400, "BAD_QUERY"},
		"broken":           {"GET", "/v1/token?audience=%zz", asking, 400, "BAD_QUERY"},
		"too long":         {"GET", "/v1/token?audience=" + strings.Repeat("a", 5000), asking, 400, "BAD_QUERY"},
		"another path":     {"GET", "/v1/tokens", asking, 404, "NO_SUCH_PATH"},
		"what is denied":   {"GET", "/v1/token?audience=forbidden", asking, 403, "denied"},
		"credential, bare": {"GET", "/v1/credential", asking, 400, "BAD_QUERY"},
	} {
		resp, body := w.do(test.method, test.path, nil, test.edit)
		t.Run(name, func(t *testing.T) { problem(t, resp, body, test.status, test.code) })
		if test.code == "METHOD" && resp.Header.Get("Allow") != "GET" {
			t.Errorf("Allow: %q", resp.Header.Get("Allow"))
		}
		if test.code == "denied" && (!strings.Contains(body, `"decision":"d-99"`) || resp.Header.Get(fault.DecisionHeader) != "d-99") {
			t.Errorf("the denial has no decision id: %s", body)
		}
	}
}

// nobody is a door behind which no broker answers.
func nobody(tb testing.TB) http.Handler {
	tb.Helper()
	d, err := embedded.New(embedded.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	source := d.Source(d.ID("/orders"))
	c, err := client.New(client.Config{
		Addresses: []string{"127.0.0.1:1"}, Source: source, Brokers: tlsconfig.AuthorizeID(d.ID("/broker")), Patience: -1, Timeout: time.Second,
	})
	if err != nil {
		tb.Fatal(err)
	}
	api, err := localapi.New(localapi.Config{Client: c, Bundles: source})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = api.Close(), c.Close() })
	return api.Handler("127.0.0.1:4140")
}

// FuzzTokenQueryNamesOneAudience holds that a query either is refused, or names exactly one audience in a
// form that another parser reads as the same.
func FuzzTokenQueryNamesOneAudience(f *testing.F) {
	for _, q := range []string{"audience=a", "audience=a&audience=b", "audience=", "scope=x", "audience=a&scope=b+c", "audience=a;scope=b", "audience=%61", "AUDIENCE=a", "audience=a&x=y"} {
		f.Add(q)
	}
	h := nobody(f)
	f.Fuzz(func(t *testing.T, q string) {
		r := httptest.NewRequest(http.MethodGet, "http://localhost/v1/token", nil).WithContext(t.Context())
		r.URL.RawQuery = q
		asking(r)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		values, err := url.ParseQuery(q)
		one := err == nil && len(values["audience"]) == 1 && values.Get("audience") != ""
		switch body := rec.Body.String(); {
		case strings.Contains(body, "BAD_REQUEST"), strings.Contains(body, "BAD_QUERY"), strings.Contains(body, "CACHE_FULL"):
		case strings.Contains(body, "BROKER_"): // it went on to the broker
			if !one || len(values)-len(values["scope"]) > 1 {
				t.Fatalf("query %q was taken", q)
			}
		default:
			t.Fatalf("query %q: %d %s", q, rec.Code, body)
		}
	})
}
