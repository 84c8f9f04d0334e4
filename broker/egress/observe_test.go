package egress_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

const (
	traceID   = "4bf92f3577b34da6a3ce929d0e0e4736"
	sampled   = "00-" + traceID + "-00f067aa0ba902b7-01"
	unsampled = "00-" + traceID + "-00f067aa0ba902b7-00"
)

func TestTraces(t *testing.T) {
	_, flow := upstream(t, doortest.Echo)
	spans := tracetest.NewInMemoryExporter()
	tracer := trace.NewTracerProvider(trace.WithSyncer(spans)).Tracer("test")
	d := newDoor(t, crm(flow), func(cfg *egress.Config) { cfg.Tracer = tracer })
	client := d.client(t, "h2")

	a := doortest.Do(t, client, "GET", "https://crm/x", doortest.Header("Traceparent", sampled), doortest.Header("Tracestate", "a=b"))
	got := a.Seen(t).Header
	list := spans.GetSpans()
	if len(list) != 1 || list[0].Parent.SpanID().String() != "00f067aa0ba902b7" {
		t.Fatalf("spans: %v", list)
	}
	if want := "00-" + traceID + "-" + list[0].SpanContext.SpanID().String() + "-01"; got.Get("Traceparent") != want || got.Get("Tracestate") != "a=b" {
		t.Errorf("the upstream's parent is %q (%q), want %q", got.Get("Traceparent"), got.Get("Tracestate"), want)
	}
	if e := d.journal.outcome(t, a.Decision()); e.Trace != traceID {
		t.Errorf("recorded as %+v", e)
	}

	spans.Reset()
	a = doortest.Do(t, client, "GET", "https://crm/x", doortest.Header("Traceparent", unsampled))
	if got := a.Seen(t).Header.Get("Traceparent"); got != unsampled || len(spans.GetSpans()) != 0 {
		t.Errorf("unsampled: %q and %d spans", got, len(spans.GetSpans()))
	}
	if e := d.journal.outcome(t, a.Decision()); e.Trace != traceID {
		t.Errorf("recorded as %+v", e)
	}
}

// TestNothingTells plants secrets and looks for them in all that the door says, of calls that work and of
// calls that do not: answers, logs, metrics, spans, the audit log.
func TestNothingTells(t *testing.T) {
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			w.Header()["X-Echo-"+name] = values
		}
		w.Header().Set("X-Echo-Query", r.URL.RawQuery)
		if r.URL.Path == "/drop" {
			panic(http.ErrAbortHandler)
		}
	})
	logs, spans, registry := &telemetrytest.Log{}, tracetest.NewInMemoryExporter(), prometheus.NewRegistry()
	d := newDoor(t, crm(flow)+"  bearer:\n    upstream: "+flow+"\n    inject: { bearer: { credential: crm/token } }\n"+
		"  odd:\n    upstream: "+flow+"\n    inject: { header: { name: X-Key, credential: crm/odd } }\n"+
		"  query:\n    upstream: "+flow+"\n    inject: { query: { name: key, credential: crm/token } }\n"+
		"  dead-query:\n    upstream: "+at("http://127.0.0.1:1")+"\n    inject: { query: { name: key, credential: crm/token } }\n"+
		strings.Replace(crm(at("http://127.0.0.1:1")), "crm:", "dead:", 1),
		func(cfg *egress.Config) {
			cfg.Logger = slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
			cfg.Tracer = trace.NewTracerProvider(trace.WithSyncer(spans)).Tracer("test")
			cfg.Metrics = egress.NewMetrics(registry)
		})
	d.store.fields["crm/odd"] = credential.Fields{"value": secret.FromString(apiToken + "\n")}
	said := &telemetrytest.Log{}
	doortest.Protocols(t, func(t *testing.T, proto string) {
		client := d.client(t, proto)
		for _, url := range []string{"https://crm/", "https://bearer/", "https://odd/", "https://dead/", "https://crm/drop", "https://bearer/drop", "https://nowhere/",
			"https://query/", "https://query/drop", "https://dead-query/"} {
			a := doortest.Do(t, client, "GET", url, doortest.Header("Authorization", "Bearer callers-own-secret"), doortest.Header("Cookie", "callers-own-secret"))
			_, _ = fmt.Fprint(said, a.Header, a.Trailer, a.Text)
		}
	})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	d.journal.last(t)
	for _, v := range []any{families, spans.GetSpans(), d.journal.events} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = said.Write(text)
	}
	everything := said.String() + logs.String()
	for _, planted := range []string{password, apiToken, strings.TrimPrefix(basic, "Basic "), "callers-own-secret"} {
		if i := strings.Index(everything, planted); i >= 0 {
			t.Errorf("%q is told: …%s…", planted, everything[max(0, i-200):i+len(planted)])
		}
	}
	if !strings.Contains(everything, "crm/login") || !strings.Contains(logs.String(), "UPSTREAM_UNREACHABLE") || !strings.Contains(logs.String(), "CREDENTIAL_UNUSABLE") {
		t.Errorf("too little is told: %s", logs.String())
	}
}

func TestMetrics(t *testing.T) {
	_, flow := upstream(t, doortest.Echo)
	registry := prometheus.NewRegistry()
	d := newDoor(t, crm(flow), func(cfg *egress.Config) { cfg.Metrics = egress.NewMetrics(registry) })
	client := d.client(t, "h2")
	d.rules.set(t, allowAll)
	for i := range 50 {
		doortest.Do(t, client, fmt.Sprint("M-", strings.Repeat("X", i%20)), fmt.Sprintf("https://%s/nowhere-%d/", d.addr, i))
		doortest.Do(t, client, "GET", fmt.Sprintf("https://crm/%d", i))
	}
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for key, want := range map[string]float64{
		"intercom_egress_requests_total 2xx crm": 50, "intercom_egress_requests_total 4xx ": 50, "intercom_egress_in_flight": 0,
		"intercom_egress_duration_seconds crm": 50, "intercom_egress_duration_seconds ": 50,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if len(got) > 40 {
		t.Errorf("%d series for one service: %v", len(got), got)
	}
}
