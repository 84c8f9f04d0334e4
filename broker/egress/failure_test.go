package egress_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/freeport"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

const headerTimeout = 500 * time.Millisecond

func impatient(cfg *egress.Config) { cfg.HeaderTimeout = headerTimeout }

func TestUpstreamFailures(t *testing.T) {
	registry := prometheus.NewRegistry()
	d := newDoor(t, "  x: http://x\n", impatient, func(cfg *egress.Config) { cfg.Metrics = egress.NewMetrics(registry) })
	stop := make(chan struct{})
	_, slow := upstream(t, func(http.ResponseWriter, *http.Request) { <-stop })
	defer close(stop)
	_, mute := upstream(t, doortest.Breaking(""))
	_, noise := upstream(t, doortest.Breaking("SSH-2.0-OpenSSH_9\r\n"))
	plain, _ := upstream(t, doortest.Echo)
	untrusted := httptest.NewTLSServer(http.HandlerFunc(doortest.Echo))
	untrusted.Config.ErrorLog = quiet
	defer untrusted.Close()
	closed, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	closed = "http://" + closed

	tests := map[string]struct {
		flow   string
		status int
		code   string
	}{
		"refused":    {at(closed), 502, egress.ReasonUnreachable},
		"unresolved": {at("http://no-such-host.invalid"), 502, egress.ReasonUnresolved},
		"untrusted":  {at(untrusted.URL), 502, egress.ReasonTLS},
		"no-tls":     {at(strings.Replace(plain, "http:", "https:", 1)), 502, egress.ReasonTLS},
		"guarded":    {`"` + plain + `"`, 502, egress.ReasonDial},
		"by-name":    {`"` + strings.Replace(plain, "127.0.0.1", "localhost", 1) + `"`, 502, egress.ReasonDial},
		"mapped":     {`"` + strings.Replace(plain, "127.0.0.1", "[::ffff:127.0.0.1]", 1) + `"`, 502, egress.ReasonDial},
		"metadata":   {`"http://169.254.169.254"`, 502, egress.ReasonDial},
		"mute":       {mute, 502, egress.ReasonBroken},
		"noise":      {noise, 502, egress.ReasonBroken},
		"slow":       {slow, 504, egress.ReasonTimeout},
	}
	lines := ""
	for name, test := range tests {
		lines += strings.Replace(crm(test.flow), "crm:", name+":", 1)
	}
	d.services(t, lines)
	for name, test := range tests {
		a := doortest.Do(t, d.client(t, "h2"), "GET", "https://"+name+"/")
		p := a.Problem(t)
		if a.StatusCode != test.status || p.Status != test.status || p.Code != test.code || p.Decision == "" {
			t.Errorf("%s: %d %+v", name, a.StatusCode, p)
		}
		if strings.Contains(a.Text, "127.0.0.1") || strings.Contains(a.Text, "invalid") {
			t.Errorf("%s: names the address: %s", name, a.Text)
		}
		if e := d.journal.outcome(t, a.Decision()); e.Result == "ok" {
			t.Errorf("%s: recorded as %+v", name, e)
		}
	}
	if got := telemetrytest.Value(t, registry, "intercom_egress_upstream_failures_total"); got != float64(len(tests)) {
		t.Errorf("%v failures counted, want %d", got, len(tests))
	}
}

// TestBrokenStreamIsBroken: what ends early at the upstream must not look whole to the caller.
func TestBrokenStreamIsBroken(t *testing.T) {
	half := strings.Repeat("half", 4096) // more than what is held back before the head goes out
	_, short := upstream(t, doortest.Breaking("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+half))
	_, chunked := upstream(t, doortest.Breaking("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n"+half+"\r\n"))
	d := newDoor(t, crm(short)+strings.Replace(crm(chunked), "crm:", "chunked:", 1))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for _, name := range []string{"crm", "chunked"} {
			res := doortest.Open(t, d.client(t, proto), "GET", "https://"+name+"/", nil)
			if body, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("%s: read %q and no error", name, body)
			}
			if e := d.journal.outcome(t, res.Header.Get(fault.DecisionHeader)); e.Result != "unavailable" {
				t.Errorf("%s: recorded as %+v", name, e)
			}
		}
	})
}

// TestCallerGoes away in the middle of a stream: the upstream is let go, and not blamed.
func TestCallerGoes(t *testing.T) {
	asked, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if asked <- struct{}{}; r.URL.Path != "/mute" {
			_, _ = fmt.Fprint(w, "first")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	awaits := func(t *testing.T, c <-chan struct{}, what string) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(30 * time.Second):
			t.Fatal(what)
		}
	}
	registry := prometheus.NewRegistry()
	d := newDoor(t, crm(flow), func(cfg *egress.Config) { cfg.Metrics = egress.NewMetrics(registry) })
	doortest.Protocols(t, func(t *testing.T, proto string) {
		res := doortest.Open(t, d.client(t, proto), "GET", "https://crm/", nil)
		awaits(t, asked, "the upstream was not asked")
		_, _ = io.ReadFull(res.Body, make([]byte, 5))
		_ = res.Body.Close()
		awaits(t, gone, "the upstream was not let go")
		if e := d.journal.outcome(t, res.Header.Get(fault.DecisionHeader)); e.Result != "canceled" {
			t.Errorf("recorded as %+v", e)
		}

		ctx, leave := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://crm/mute", nil)
		client, left := d.client(t, proto), make(chan struct{})
		go func() {
			defer close(left)
			if res, err := client.Do(req); err == nil { // net/http may take in the door's last word while it hangs up
				_ = res.Body.Close()
			}
		}()
		awaits(t, asked, "the mute upstream was not asked")
		leave()
		awaits(t, gone, "the mute upstream was not let go")
		awaits(t, left, "the caller does not leave")
		if e := d.journal.last(t); e.Result != "canceled" {
			t.Errorf("recorded as %+v", e)
		}
	})
	if got := telemetrytest.Value(t, registry, "intercom_egress_upstream_failures_total"); got != 0 {
		t.Errorf("%v upstream failures", got)
	}
}
