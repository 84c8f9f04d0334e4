package service_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// within is the contract: a change acts in less than a second. A machine that stalls gets more time where
// something else is tested.
const (
	within    = time.Second
	patiently = 30 * time.Second
)

func file(services ...string) string {
	return "version: 1\nowner: t\nservices: { " + strings.Join(services, ", ") + " }\n"
}

// write replaces a file at once.
func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func watch(t *testing.T, dir string) (*service.Watcher, *telemetrytest.Log, *prometheus.Registry) {
	t.Helper()
	var log telemetrytest.Log
	reg := prometheus.NewRegistry()
	w, err := service.Open(t.Context(), service.Config{Dir: dir, Logger: log.Logger(), Metrics: service.NewMetrics(reg)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w, &log, reg
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}

func has(w *service.Watcher, name string) func() bool {
	return func() bool { _, ok := w.Current().Get(name); return ok }
}

func TestAChangeActsWithinASecond(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), file("a: https://a"))
	w, _, _ := watch(t, dir)
	before := w.Current()
	best := patiently
	for i := range 3 { // one of three: a machine that stalls says nothing of us
		changed, begun := w.Changed(), time.Now()
		write(t, filepath.Join(dir, "b.yaml"), file(fmt.Sprintf("b: https://b%d", i)))
		select {
		case <-changed:
			best = min(best, time.Since(begun))
		case <-time.After(patiently):
			t.Fatal("nothing changed")
		}
	}
	if best > within {
		t.Errorf("the fastest of three took %s", best)
	}
	if !has(w, "a")() || !has(w, "b")() || w.Current().Revision() == before.Revision() {
		t.Errorf("got %v, revision %s", w.Current().All(), w.Current().Revision())
	}
	if _, ok := before.Get("b"); ok {
		t.Error("an old catalogue has changed")
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a is gone", func() bool { return !has(w, "a")() })
}

// TestADirectoryThatNeverRestsIsReadAllTheSame has a neighbour that writes all the time.
func TestADirectoryThatNeverRestsIsReadAllTheSame(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), file("a: https://a"))
	w, _, _ := watch(t, dir)
	write(t, filepath.Join(dir, "a.yaml"), file("a2: https://a"))
	eventually(t, "the watch", has(w, "a2"))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(filepath.Join(dir, "noise.log"), []byte("x"), 0o600)
			}
		}
	}()
	write(t, filepath.Join(dir, "b.yaml"), file("b: https://b"))
	eventually(t, "b", has(w, "b"))
	close(stop)
	<-stopped
}

func TestOfAConfigMapAllFilesChangeAtOnce(t *testing.T) {
	dir := t.TempDir()
	publish := func(version string, files map[string]string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			write(t, filepath.Join(dir, version, name), content)
			_ = os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name))
		}
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..1", map[string]string{"a.yaml": file("a: https://a1"), "b.yaml": file("b: https://b1")})
	w, log, _ := watch(t, dir)
	publish("..2", map[string]string{"a.yaml": file("b: https://b2"), "b.yaml": file("a: https://a2")})
	eventually(t, "the second version", func() bool {
		s, ok := w.Current().Get("a")
		return ok && s.Upstream.URL.Host == "a2"
	})
	if strings.Contains(log.String(), "refused") {
		t.Errorf("half a change was read: %s", log)
	}
}

func TestTheOldIsKeptWhenTheNewIsBroken(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	write(t, a, file("a: https://a"))
	w, log, reg := watch(t, dir)
	revision := w.Current().Revision()

	write(t, a, file("a: nowhere"))
	eventually(t, "the refusal", func() bool { return w.Err() != nil })
	if w.Current().Revision() != revision || !strings.Contains(w.Err().Error(), "a.yaml:3:16: service \"a\": the URL has no scheme") {
		t.Errorf("revision %s, want %s: %v", w.Current().Revision(), revision, w.Err())
	}
	eventually(t, "the log entry", func() bool { return strings.Contains(log.String(), "the old ones stay in force") })

	write(t, a, file("a2: https://a"))
	eventually(t, "the cure", func() bool { return has(w, "a2")() && w.Err() == nil })
	const want = `
# HELP intercom_service_loads_total Readings of changed service files, by result: loaded or refused.
# TYPE intercom_service_loads_total counter
intercom_service_loads_total{result="loaded"} 2
intercom_service_loads_total{result="refused"} 1
# HELP intercom_service_services Services in force, by mode.
# TYPE intercom_service_services gauge
intercom_service_services{mode="inject"} 0
intercom_service_services{mode="token"} 1
intercom_service_services{mode="vend"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestALostDirectoryLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "services")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.yaml"), file("a: https://a"))
	w, _, _ := watch(t, dir)
	for _, lose := range []func() error{
		func() error { return os.Remove(filepath.Join(dir, "a.yaml")) },
		func() error { return os.RemoveAll(dir) },
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the refusal", func() bool { return w.Err() != nil })
		if !has(w, "a")() {
			t.Fatal("the services are gone")
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "b.yaml"), file("b: https://b"))
	eventually(t, "the directory that came back", has(w, "b"))
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), file("a: https://a"))
	write(t, filepath.Join(dir, "b.yml"), file("b: https://b"))
	write(t, filepath.Join(dir, "README.md"), "not read")
	write(t, filepath.Join(dir, ".a.yaml.swp"), "not read")
	write(t, filepath.Join(dir, ".hidden.yaml"), "not read")
	c, err := service.Load(dir)
	if err != nil || len(c.All()) != 2 {
		t.Fatalf("got %v, %v", c, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "c.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory for a file: %v", err)
	}
	if _, err := service.Load(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing directory is no catalogue")
	}
}

func TestARevisionNamesTheContent(t *testing.T) {
	revision := func(files map[string][]byte) string {
		t.Helper()
		c, err := service.Parse(files)
		if err != nil {
			t.Fatal(err)
		}
		return c.Revision()
	}
	a, b := []byte(file("a: https://a")), []byte(file("b: https://b"))
	one := revision(map[string][]byte{"x": a, "y": b})
	if one != revision(map[string][]byte{"y": b, "x": a}) || one == revision(map[string][]byte{"x": a}) || one == revision(map[string][]byte{"x": b, "y": a}) {
		t.Error("a revision depends on something else, or not on everything")
	}
}
