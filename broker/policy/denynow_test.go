package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
)

func TestDenyNow(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	rules := "p, spiffe://a.test/x, call, service/crm/**, allow\np, spiffe://a.test/y, call, service/crm/**, allow\n" +
		"p, spiffe://a.test/x, vend, credential/crm, allow\np, group:staff, call, service/crm/**, allow\n"
	for what, hit := range map[string]map[string]bool{
		"spiffe://a.test/x":     {"spiffe://a.test/x call service/crm/GET/1": true, "spiffe://a.test/x vend credential/crm": true, "spiffe://a.test/y call service/crm/GET/1": false},
		"spiffe://a.test/**":    {"spiffe://a.test/x call service/crm/GET/1": true, "spiffe://a.test/y call service/crm/GET/1": true},
		"service/crm":           {"spiffe://a.test/x call service/crm/GET/1": true, "spiffe://a.test/y call service/crm/": true, "spiffe://a.test/x vend credential/crm": false},
		"service/crm/GET/1":     {"spiffe://a.test/x call service/crm/GET/1": true, "spiffe://a.test/x call service/crm/GET/1/2": true, "spiffe://a.test/x call service/crm/GET/12": false},
		"credential/crm":        {"spiffe://a.test/x vend credential/crm": true, "spiffe://a.test/x call service/crm/GET/1": false},
		"service/*/GET/1":       {"spiffe://a.test/x call service/crm/GET/1": true, "spiffe://a.test/x call service/crm/GET/2": false},
		"group:staff":           {"user spiffe://a.test/x call service/crm/GET/1": true, "spiffe://a.test/x call service/crm/GET/1": false},
		"user:https://i.test|u": {"user spiffe://a.test/x call service/crm/GET/1": true, "spiffe://a.test/x call service/crm/GET/1": false},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "policy.csv"), rules)
		file, err := policy.DenyNow(dir, what, time.Hour, "key leaked\np, spiffe://evil.test/x, call, service/crm, allow", now)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		s, err := policy.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		for question, denied := range hit {
			for at, want := range map[time.Time]bool{now: !denied, now.Add(time.Hour - time.Second): !denied, now.Add(time.Hour): true} {
				if d := decideAt(t, s, question, at); d.Allow != want || d.Err != nil {
					t.Errorf("deny %s: %s at %v: %+v", what, question, at, d)
				}
			}
		}
		if text, _ := os.ReadFile(file); !strings.HasPrefix(string(text), "# Denied until 2026-06-01T13:00:00Z: key leaked p, spiffe") {
			t.Errorf("%s says\n%s", file, text)
		}
	}
}

func decideAt(t *testing.T, s *policy.Snapshot, question string, at time.Time) policy.Decision {
	t.Helper()
	question, user := strings.CutPrefix(question, "user ")
	r := request(t, question)
	r.Time = at
	if user {
		r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "u", Groups: []string{"staff"}}
	}
	d, err := s.Decide(t.Context(), r)
	if !d.Allow && user && d.Reason != policy.ReasonDenied || err != nil {
		t.Errorf("%s: %+v %v", question, d, err)
	}
	return d
}

func TestDenyNowRefuses(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.csv"), ok)
	own := t.TempDir()
	write(t, filepath.Join(own, "policy.csv"), "p, a, b, deny\n")
	write(t, filepath.Join(own, "model.conf"), ownModel)
	broken := t.TempDir()
	write(t, filepath.Join(broken, "policy.csv"), "nonsense")
	for name, c := range map[string]struct {
		dir, what, why string
		d              time.Duration
		want           string
	}{
		"no reason":    {dir, "service/y", " ", time.Hour, "how long and why"},
		"no time":      {dir, "service/y", "x", 0, "how long and why"},
		"everything":   {dir, "**", "x", time.Hour, "name a subject or a resource"},
		"a misspelt":   {dir, "spiffee://a.test/x", "x", time.Hour, "is neither a subject"},
		"a half":       {dir, "spiffe://", "x", time.Hour, "is neither a subject"},
		"bad wildcard": {dir, "service/y*", "x", time.Hour, "is neither a subject"},
		"own model":    {own, "service/y", "x", time.Hour, "is your own"},
		"broken":       {broken, "service/y", "x", time.Hour, filepath.Join(broken, "policy.csv") + ":1: "},
		"missing":      {filepath.Join(dir, "missing"), "service/y", "x", time.Hour, "no such file"},
	} {
		file, err := policy.DenyNow(c.dir, c.what, c.d, c.why, now)
		if err == nil || !strings.Contains(err.Error(), c.want) || file != "" {
			t.Errorf("%s: got %q, %v", name, file, err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("a refused deny left %v", entries)
	}
}

// TestDenyNowIsLive within a second, in an engine that runs.
func TestDenyNowIsLive(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.csv"), ok)
	e := run(t, policy.Config{Dir: dir, Poll: time.Hour})
	wants(t, e, true)
	changes(t, e, "deny now", func() {
		if _, err := policy.DenyNow(dir, "spiffe://a.test/x", time.Hour, "test", time.Now()); err != nil {
			t.Error(err)
		}
	})
	wants(t, e, false)
}
