package policy_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

const (
	question = "spiffe://a.test/x call service/y/z"
	denying  = "p, spiffe://a.test/x, call, service/y/**, deny"
)

// run opens an engine and runs it until the test ends.
func run(t *testing.T, c policy.Config) *policy.Engine {
	t.Helper()
	e, err := policy.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	// Run has begun to watch once it has seen something.
	changes(t, e, "begun", func() { replace(t, filepath.Join(c.Dir, "begun.csv"), "# begun\n") })
	return e
}

// changes waits until the engine has changed after do, and returns how long that took.
func changes(t *testing.T, e *policy.Engine, what string, do func()) time.Duration {
	t.Helper()
	changed, begin := e.Changed(), time.Now()
	do()
	select {
	case <-changed:
		return time.Since(begin)
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: not live", what)
		return 0
	}
}

func wants(t *testing.T, e *policy.Engine, allow bool) {
	t.Helper()
	if d := decide(t, e, question); d.Allow != allow || d.Revision != e.Current().Revision() {
		t.Fatalf("got %+v, want allow %v at %s", d, allow, e.Current().Revision())
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.csv")
	write(t, file, ok)
	log := &telemetrytest.Log{}
	reg := prometheus.NewRegistry()
	e := run(t, policy.Config{Dir: dir, Poll: time.Hour, Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: policy.NewMetrics(reg)})
	wants(t, e, true)
	first := e.Current().Revision()
	best := changes(t, e, "written in place", func() { write(t, file, denying) })
	wants(t, e, false)
	best = min(best, changes(t, e, "replaced", func() { replace(t, file, ok) }))
	wants(t, e, true)
	if e.Current().Revision() != first {
		t.Error("the same content has another revision")
	}
	best = min(best, changes(t, e, "another file", func() { replace(t, filepath.Join(dir, "z.csv"), denying) }))
	wants(t, e, false)
	best = min(best, changes(t, e, "deleted", func() { _ = os.Remove(filepath.Join(dir, "z.csv")) }))
	wants(t, e, true)
	if best > time.Second { // the fastest: a machine that stalls says nothing of us
		t.Errorf("a change is live after %v", best)
	}
	changes(t, e, "own model", func() { replace(t, filepath.Join(dir, "model.conf"), plainModel(t)) })
	if wants(t, e, true); !e.Custom() {
		t.Error("the own model does not decide")
	}
	if got := gathered(t, reg); !strings.Contains(got, `intercom_policy_decisions_total{result="allow"} 4`) ||
		!strings.Contains(got, `intercom_policy_decisions_total{result="deny"} 2`) || !strings.Contains(got, "intercom_policy_rules_count 1\n") {
		t.Error(got)
	}
	if !strings.Contains(log.String(), "Casbin decides") {
		t.Errorf("the log does not tell of the own model:\n%s", log)
	}
}

// TestBrokenOwnModelKeepsTheOld, and a good one takes its place; the log tells of each.
func TestBrokenOwnModelKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.csv"), ok)
	write(t, filepath.Join(dir, "model.conf"), plainModel(t))
	log := &telemetrytest.Log{}
	e := run(t, policy.Config{Dir: dir, Poll: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if !e.Custom() || !strings.Contains(log.String(), `msg="an operator's own model decides, slower than the shipped one"`) {
		t.Fatalf("the start does not tell of the own model:\n%s", log)
	}
	first := e.Current().Revision()
	replace(t, filepath.Join(dir, "model.conf"), strings.Replace(plainModel(t), "resourceMatch(", "resourceMatsch(", 1))
	tick, late := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !strings.Contains(log.String(), "policy refused, the old one stays") {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the log does not tell that it was refused:\n%s", log)
		}
	}
	if wants(t, e, true); e.Current().Revision() != first {
		t.Error("the broken model is in force")
	}
	changed := e.Changed()
	if err := os.Remove(filepath.Join(dir, "model.conf")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatal("the shipped model does not come back")
	}
	if wants(t, e, true); e.Custom() {
		t.Error("the own model still decides")
	}
}

func replace(t *testing.T, name, text string) {
	t.Helper()
	write(t, name+".tmp", text)
	if err := os.Rename(name+".tmp", name); err != nil {
		t.Fatal(err)
	}
}

func gathered(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += fmt.Sprintf("{%s=%q}", l.GetName(), l.GetValue())
			}
			fmt.Fprintf(&b, "%s%s %v\n", f.GetName(), labels, m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
	return b.String()
}

// TestBrokenPolicyKeepsTheOld also says what is wrong, and where, once.
func TestBrokenPolicyKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.csv")
	write(t, file, ok)
	log := &telemetrytest.Log{}
	e := run(t, policy.Config{Dir: dir, Poll: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))})
	replace(t, file, strings.Replace(denying, "deny", "Deny", 1))
	said := file + `:1: unknown effect`
	logged(t, log, said)
	wants(t, e, true)
	time.Sleep(100 * time.Millisecond)
	if n := strings.Count(log.String(), said); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
	changes(t, e, "repaired", func() { replace(t, file, denying) })
	wants(t, e, false)
	_, _ = os.Remove(file), os.Remove(filepath.Join(dir, "begun.csv"))
	logged(t, log, "no such file")
	wants(t, e, false)
}

// logged waits until the log says text.
func logged(t *testing.T, log *telemetrytest.Log, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("want %s in:\n%s", text, log)
		}
	}
}

// TestConfigMap swaps the link that a ConfigMap's files point through, as the kubelet does.
func TestConfigMap(t *testing.T) {
	dir := t.TempDir()
	publish := func(name, a, b string) {
		t.Helper()
		data := filepath.Join(dir, name)
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(data, "a.csv"), a)
		write(t, filepath.Join(data, "b.csv"), b)
		link(t, name, filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..2026_01", ok, "")
	link(t, "..data/a.csv", filepath.Join(dir, "a.csv"))
	link(t, "..data/b.csv", filepath.Join(dir, "b.csv"))
	e := run(t, policy.Config{Dir: dir, Poll: time.Hour})
	wants(t, e, true)
	changes(t, e, "first swap", func() { publish("..2026_02", ok, denying) })
	wants(t, e, false)
	_ = os.RemoveAll(filepath.Join(dir, "..2026_01"))
	changes(t, e, "second swap", func() { publish("..2026_03", ok, "") })
	wants(t, e, true)
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// TestReplacedDirectory: the name counts, not the directory that once had it.
func TestReplacedDirectory(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "policy")
	make := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(name, "policy.csv"), text)
	}
	make(dir, ok)
	e := run(t, policy.Config{Dir: dir, Poll: time.Hour})
	make(dir+".new", denying)
	changes(t, e, "directory replaced", func() {
		if err := os.Rename(dir, dir+".old"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+".new", dir); err != nil {
			t.Fatal(err)
		}
	})
	wants(t, e, false)
	changes(t, e, "file in the new directory", func() { replace(t, filepath.Join(dir, "policy.csv"), ok) })
	wants(t, e, true)
}

// TestSwappedLink: releases are often directories of their own, and the name a link to the current one.
func TestSwappedLink(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "current")
	for name, text := range map[string]string{"v1": ok, "v2": denying} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(parent, name, "policy.csv"), text)
	}
	release := func(name string) {
		link(t, name, dir+".new")
		if err := os.Rename(dir+".new", dir); err != nil {
			t.Fatal(err)
		}
	}
	release("v1")
	e := run(t, policy.Config{Dir: dir, Poll: time.Hour})
	wants(t, e, true)
	changes(t, e, "second release", func() { release("v2") })
	wants(t, e, false)
	changes(t, e, "file of the second release", func() { replace(t, filepath.Join(parent, "v2", "policy.csv"), ok) })
	wants(t, e, true)
	changes(t, e, "a change and back", func() { replace(t, filepath.Join(parent, "v2", "policy.csv"), denying) })
	wants(t, e, false)
	changes(t, e, "first release", func() { release("v1") })
	wants(t, e, true)
}

func TestPollAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real.csv"), ok)
	held := t.TempDir() // a file behind a link is in a directory that nobody watches
	write(t, filepath.Join(held, "x"), ok)
	link(t, filepath.Join(held, "x"), filepath.Join(dir, "linked.csv"))
	e := run(t, policy.Config{Dir: dir, Poll: 50 * time.Millisecond})
	changes(t, e, "unseen change", func() { replace(t, filepath.Join(held, "x"), denying) })
	wants(t, e, false)
	changes(t, e, "another", func() { replace(t, filepath.Join(held, "x"), ok) })
	wants(t, e, true)
}

func TestOpenRefuses(t *testing.T) {
	if _, err := policy.Open(t.Context(), policy.Config{}); err == nil {
		t.Error("no directory is accepted")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.csv"), "nonsense")
	if _, err := policy.Open(t.Context(), policy.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "policy.csv")+":1: ") {
		t.Errorf("got %v", err)
	}
}
