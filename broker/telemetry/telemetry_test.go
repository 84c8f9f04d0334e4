package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

func open(t *testing.T, cfg telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

func get(t *testing.T, h http.Handler, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReadySaysWhatIsNot(t *testing.T) {
	sealed := errors.New("the store is sealed")
	var err error
	h := open(t, telemetry.Config{LogOutput: io.Discard}).Admin(map[string]func() error{
		"store": func() error { return err }, "audit": func() error { return nil },
	})
	if status, body := get(t, h, "/readyz"); status != http.StatusOK || !strings.Contains(body, `"store":"ok"`) {
		t.Errorf("ready: %d %s", status, body)
	}
	err = sealed
	status, body := get(t, h, "/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, sealed.Error()) || !strings.Contains(body, `"audit":"ok"`) {
		t.Errorf("not ready: %d %s", status, body)
	}
	err = telemetry.Impaired(errors.New("nothing can be written"))
	if status, body := get(t, h, "/readyz"); status != http.StatusOK || !strings.Contains(body, "nothing can be written") {
		t.Errorf("impaired: %d %s", status, body)
	}
	if err = telemetry.Impaired(nil); err != nil {
		t.Errorf("impaired by nothing: %v", err)
	}
	if status, _ := get(t, h, "/healthz"); status != http.StatusOK {
		t.Errorf("a process that is not ready is not healthy: %d", status)
	}
}

func TestAdminServesMetricsAndProfiles(t *testing.T) {
	h := open(t, telemetry.Config{LogOutput: io.Discard}).Admin(nil)
	for path, want := range map[string]string{"/metrics": "go_goroutines", "/debug/pprof/": "heap", "/debug/pprof/cmdline": "telemetry"} {
		if status, body := get(t, h, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q", path, status, want)
		}
	}
}

// TestAdminRefusesPages: a page's <img> could start a profile.
func TestAdminRefusesPages(t *testing.T) {
	h := open(t, telemetry.Config{LogOutput: io.Discard}).Admin(nil)
	for name, test := range map[string]struct {
		header http.Header
		want   int
	}{
		"curl, Prometheus":    {nil, http.StatusOK},
		"typed":               {http.Header{"Sec-Fetch-Site": {"none"}}, http.StatusOK},
		"a link of our index": {http.Header{"Sec-Fetch-Site": {"same-origin"}}, http.StatusOK},
		"another site":        {http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		"another port":        {http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		"said twice":          {http.Header{"Sec-Fetch-Site": {"none", "cross-site"}}, http.StatusForbidden},
		"an origin":           {http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		"an opaque origin":    {http.Header{"Origin": {"null"}}, http.StatusForbidden},
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", nil), httptest.NewRecorder()
		r.Header = test.header
		if h.ServeHTTP(w, r); w.Code != test.want {
			t.Errorf("%s: %d, want %d", name, w.Code, test.want)
		}
	}
}

func TestLogIsJSONWithTheTraceAndWithoutSecrets(t *testing.T) {
	var out bytes.Buffer
	tel := open(t, telemetry.Config{Service: "x", LogOutput: &out})
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: 0})
	tel.Logger().With("part", "p").InfoContext(trace.ContextWithSpanContext(t.Context(), span), "said", "password", secret.FromString("hunter2"), "again_in", 1500*time.Millisecond)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["trace"] != span.TraceID().String() || line["program"] != "x" || line["part"] != "p" || line["password"] != secret.Redacted || line["again_in"] != "1.5s" {
		t.Errorf("the line is %s", out.String())
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	for name, cfg := range map[string]telemetry.Config{
		"level": {LogLevel: "loud"}, "collector": {OTLPEndpoint: "collector:4317"},
	} {
		if _, err := telemetry.New(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAdminStaysOnLoopback(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "127.9.9.9:1": true,
		":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "example.org:1": false, "nonsense": false,
	} {
		if err := telemetry.CheckLoopback(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestSpansReachTheCollector runs a gRPC server that takes any call, as far as the wire is concerned a
// collector.
func TestSpansReachTheCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	method := make(chan string, 1)
	collector := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		name, _ := grpc.MethodFromServerStream(ss)
		method <- name
		return nil
	}))
	go func() { _ = collector.Serve(l) }()
	t.Cleanup(collector.Stop)

	tel := open(t, telemetry.Config{LogOutput: io.Discard, OTLPEndpoint: "http://" + l.Addr().String()})
	_, span := tel.Tracer("test").Start(t.Context(), "walk")
	span.End()
	go func() { _ = tel.Shutdown(t.Context()) }()
	select {
	case got := <-method:
		if !strings.HasSuffix(got, "TraceService/Export") {
			t.Errorf("the collector was called as %s", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("no span reached the collector")
	}
}
