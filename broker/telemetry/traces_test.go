package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

const callers = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// through reads a traceparent, starts a span and returns the one that an upstream would get.
func through(tel *telemetry.Telemetry, parent string) (context.Context, string) {
	in, out := http.Header{}, http.Header{}
	if parent != "" {
		in.Set("Traceparent", parent)
	}
	ctx := tel.Propagator().Extract(context.Background(), propagation.HeaderCarrier(in))
	ctx, span := tel.Tracer("test").Start(ctx, "walk")
	defer span.End()
	tel.Propagator().Inject(ctx, propagation.HeaderCarrier(out))
	return ctx, out.Get("Traceparent")
}

func TestWithoutACollectorACallersTraceGoesOnUntouched(t *testing.T) {
	tel := open(t, telemetry.Config{LogOutput: io.Discard})
	for _, parent := range []string{callers, strings.TrimSuffix(callers, "1") + "0"} {
		if _, got := through(tel, parent); got != parent {
			t.Errorf("%s went on as %s", parent, got)
		}
	}
	ctx, first := through(tel, "")
	_, second := through(tel, "")
	if len(first) != len(callers) || !strings.HasSuffix(first, "-00") || first == second {
		t.Errorf("requests without a trace got %q and %q", first, second)
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() || !span.SpanContext().IsValid() {
		t.Errorf("the span records: %v", span.SpanContext())
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// With a collector the caller's trace goes on under a span of ours, sampled as the caller chose.
func TestWithACollectorTheCallerChooses(t *testing.T) {
	tel := open(t, telemetry.Config{LogOutput: io.Discard, OTLPEndpoint: "http://127.0.0.1:1"})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = tel.Shutdown(ctx) // nobody is there
	})
	for _, flag := range []string{"01", "00"} {
		parent := strings.TrimSuffix(callers, "01") + flag
		_, got := through(tel, parent)
		if got == parent || !strings.HasPrefix(got, callers[:36]) || !strings.HasSuffix(got, flag) {
			t.Errorf("%s went on as %s", parent, got)
		}
	}
}

func TestForeignTypesDoNotPrintSecretsEither(t *testing.T) {
	var out bytes.Buffer
	log := open(t, telemetry.Config{LogOutput: &out}).Logger()
	h := http.Header{"Authorization": {"Bearer pl4nted"}, "Cookie": {"id=pl4nted"}}
	u, _ := url.Parse("https://me:pl4nted@example.test/x")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = h
	log.Info("m", "header", h, "request", r, "url", u, "Authorization", "Bearer pl4nted", "cookie", "pl4nted",
		"secret", secret.FromString("pl4nted"), "cookies", []*http.Cookie{{Name: "a", Value: "pl4nted"}})
	log.WithGroup("g").With("set-cookie", "pl4nted").Info("m", "a", h)
	if strings.Contains(out.String(), "pl4nted") {
		t.Errorf("the log leaks: %s", out.String())
	}
	if !strings.Contains(out.String(), "example.test/x") {
		t.Errorf("the URL is gone altogether: %s", out.String())
	}
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	log := open(t, telemetry.Config{LogOutput: &out, LogLevel: "warn"}).Logger()
	log.Info("quiet")
	log.Warn("loud")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "loud" || line["program"] != "intercom" {
		t.Errorf("at level warn: %s", out.String())
	}
}

func TestAdminOnLoopbackAnswersToItsNamesOnly(t *testing.T) {
	h := open(t, telemetry.Config{LogOutput: io.Discard}).Admin(nil)
	for _, c := range []struct {
		local, host string
		want        int
	}{
		{"127.0.0.1", "localhost:9090", 200}, {"127.0.0.1", "127.0.0.1", 200}, {"::1", "[::1]:9090", 200}, {"::1", "[::1]", 200},
		{"127.0.0.1", "evil.example:9090", 403}, {"127.0.0.1", "evil.example", 403}, {"127.0.0.1", "", 403},
		{"127.0.0.1", "localhost.evil.example", 403}, {"10.0.0.7", "broker.example:9090", 200},
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil)
		r.Host = c.host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.ParseIP(c.local)})))
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("Host %q on %s: %d, want %d", c.host, c.local, w.Code, c.want)
		}
	}
}

func TestBuildInfo(t *testing.T) {
	h := open(t, telemetry.Config{Service: "s", Version: "v1.2.3", LogOutput: io.Discard}).Admin(nil)
	if _, body := get(t, h, "/metrics"); !strings.Contains(body, `intercom_build_info{go="go1`) || !strings.Contains(body, `service="s",version="v1.2.3"`) {
		t.Error("the metrics do not say which program this is")
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil)); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s /metrics: %d", method, w.Code)
		}
	}
}
