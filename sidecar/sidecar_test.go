package sidecar_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
	"github.com/intercom-broker/intercom/sidecar"
)

// start runs a sidecar from its file until the test ends, or the returned stop is called.
func start(t *testing.T, file string) (s *sidecar.Sidecar, log *telemetrytest.Log, stop func() error) {
	t.Helper()
	cfg, err := sidecar.Load(file)
	must(t, err)
	log = new(telemetrytest.Log)
	cfg.LogOutput = log
	ctx, cancel := context.WithCancel(context.Background())
	s, err = sidecar.New(ctx, cfg)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("still running")
		}
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v\n%s", err, log)
		}
	})
	return s, log, stop
}

const anyPorts = "listen: { address: 127.0.0.1:0, socket: door.sock }\nadmin: 127.0.0.1:0\n"

// overSocket is a client of the socket door.sock.
func (w *world) overSocket() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(w.dir, "door.sock"))
	}, DisableKeepAlives: true}}
}

func TestWholeSidecar(t *testing.T) {
	w := newWorld(t)
	s, log, stop := start(t, w.config(t, anyPorts+"hold: { tokens: [inventory, other] }\n"))
	at := s.Addresses()
	eventually(t, "it is ready", func() bool {
		code, _ := get(t, http.DefaultClient, "http://"+at.Admin+"/readyz")
		return code == http.StatusOK
	})
	if n := w.minted.Load(); n != 2 {
		t.Errorf("ready with %d tokens held", n)
	}
	const want = "Bearer t-inventory/x"
	if code, body := get(t, http.DefaultClient, "http://"+at.Listen+"/inventory/x"); code != http.StatusOK || body != want {
		t.Errorf("by TCP: %d %s", code, body)
	}
	if code, body := get(t, w.overSocket(), "http://inventory/x"); code != http.StatusOK || body != want {
		t.Errorf("by socket: %d %s", code, body)
	}
	if code, body := get(t, http.DefaultClient, "http://"+at.Admin+"/metrics"); code != http.StatusOK ||
		!strings.Contains(body, `intercom_localapi_answers_total{mode="token",status="2xx"} 2`) || !strings.Contains(body, `intercom_client_calls_total{method="Exchange",outcome="ok"} 2`) {
		t.Errorf("metrics: %d %s", code, body)
	}
	if strings.Contains(log.String(), "t-inventory") {
		t.Errorf("a token is in the log: %s", log)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, end, found := strings.Cut(log.String(), `"closing: `); !found || !strings.Contains(end, `"closed"`) {
		t.Errorf("its log does not tell of its end: %s", log)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "door.sock")); err == nil {
		t.Error("the socket is left behind")
	}
	if code, body := get(t, http.DefaultClient, "http://"+at.Listen+"/inventory/x"); code != 0 {
		t.Errorf("after the end: %d %s", code, body)
	}
}

func TestReadySaysWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	w.denied.Store(true)
	s, _, _ := start(t, w.config(t, anyPorts+"hold: { tokens: [inventory], credentials: [reports/db] }\n"))
	admin := "http://" + s.Addresses().Admin
	var body string
	eventually(t, "it says what is missing", func() bool {
		var code int
		code, body = get(t, http.DefaultClient, admin+"/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, `token for \"inventory\" is not held: policy does not allow it (decision d-9)`) &&
			strings.Contains(body, `credential \"reports/db\" is not held`)
	})
	if code, _ := get(t, http.DefaultClient, admin+"/healthz"); code != http.StatusOK {
		t.Errorf("not ready is not ill, but /healthz says %d", code)
	}
}

// TestDrains: what is in flight when the sidecar is told to end is finished.
func TestDrains(t *testing.T) {
	w := newWorld(t)
	began, release := make(chan struct{}), make(chan struct{})
	slow := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		close(began)
		<-release
		_, _ = rw.Write([]byte("finished"))
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = slow.Serve(l) }()
	t.Cleanup(func() { _ = slow.Close() })
	w.upstream = "http://" + l.Addr().String()
	s, _, stop := start(t, w.config(t, anyPorts))
	at := s.Addresses()
	eventually(t, "it is ready", func() bool {
		code, _ := get(t, http.DefaultClient, "http://"+at.Admin+"/readyz")
		return code == http.StatusOK
	})
	answer := make(chan string, 1)
	go func() { _, body := get(t, http.DefaultClient, "http://"+at.Listen+"/inventory/"); answer <- body }()
	<-began
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	time.Sleep(100 * time.Millisecond)
	close(release)
	if body := <-answer; body != "finished" {
		t.Errorf("what was in flight got %q", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestAddressTaken(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	cfg, err := sidecar.Load(w.config(t, "listen: { address: "+l.Addr().String()+" }\nadmin: 127.0.0.1:0\n"))
	must(t, err)
	if _, err := sidecar.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "listen.address") {
		t.Errorf("got %v", err)
	}
}

// TestSocketAlone: who asks for a socket, to keep other users of the machine out, has no TCP door besides.
func TestSocketAlone(t *testing.T) {
	w := newWorld(t)
	s, _, _ := start(t, w.config(t, "listen: { socket: door.sock }\nadmin: 127.0.0.1:0\n"))
	if at := s.Addresses(); at.Listen != "" {
		t.Errorf("there is a door at %s", at.Listen)
	}
	eventually(t, "the socket serves", func() bool {
		code, body := get(t, w.overSocket(), "http://inventory/x")
		return code == http.StatusOK && body == "Bearer t-inventory/x"
	})
}
