package route_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/service"
)

// TestRouterFollowsTheFiles: a change acts within a second, and what makes no table changes nothing.
func TestRouterFollowsTheFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(match string) {
		t.Helper()
		file := "version: 1\nowner: t\nservices:\n  a: { upstream: \"https://a\", match: " + match + " }\n"
		if err := os.WriteFile(filepath.Join(dir, "team.yaml"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("/old")
	services, err := service.Open(t.Context(), service.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r, err := route.Open(services, []string{"app.test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, run := range []func(context.Context) error{services.Run, r.Run} {
		go func() { _ = run(ctx) }()
	}
	write("/new")
	eventually(t, "the new route", func() bool { return found(r, "/new") && !found(r, "/old") })
	write("{ path: /newer, host: elsewhere.test }")
	eventually(t, "the refusal", func() bool { return r.Err() != nil && strings.Contains(r.Err().Error(), "elsewhere.test") })
	if !found(r, "/new") {
		t.Error("the old routes are gone")
	}
	write("{ path: /newer, host: app.test }")
	eventually(t, "the newest route", func() bool { return found(r, "/newer") && r.Err() == nil })
}

func found(r *route.Router, path string) bool {
	hit, _ := r.Table().Find("app.test", path, "GET")
	return hit != nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}
