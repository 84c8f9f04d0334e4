package bff

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// TestWarn: a page is told once of an end that is near, and once that it is near no longer, since somebody was active, here or at
// another gateway.
func TestWarn(t *testing.T) {
	began := time.Now()
	now := began
	clock := func() time.Time { return now }
	store := session.NewMemory(clock)
	h := &Handler{Now: clock, Sessions: session.New(session.Config{Store: store, Now: clock})}
	_, who, err := h.Sessions.Create(t.Context(), session.Session{Issuer: "i", Subject: "alice", Idle: time.Hour, Absolute: began.Add(12 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s, warned := &stream{w: w, flush: http.NewResponseController(w)}, false
	told := func(at time.Duration) string {
		now = began.Add(at)
		w.Body.Reset()
		warned = warn(s, h.left(t.Context(), who), warned)
		return strings.ReplaceAll(strings.TrimSpace(w.Body.String()), "\n", " ")
	}
	for _, step := range []struct {
		at   time.Duration
		want string
	}{
		{58 * time.Minute, ""}, {59 * time.Minute, `event: session.expiring data: {"in":60}`}, {59*time.Minute + recheck, ""},
	} {
		if got := told(step.at); got != step.want {
			t.Errorf("after %s: %q", step.at, got)
		}
	}
	h.Sessions.Touch(who)
	for _, want := range []string{"event: session.refreshed data: {}", ""} {
		if got := told(59*time.Minute + 2*recheck); got != want {
			t.Errorf("after a touch: %q", got)
		}
	}
	near := h.Sessions.IdleEnd(who).Sub(began) - warning
	if got := told(near); got != `event: session.expiring data: {"in":60}` {
		t.Errorf("an hour later: %q", got)
	}
	if err := store.Touch(t.Context(), who, now); err != nil {
		t.Fatal(err)
	}
	if got := told(near + recheck); got != "event: session.refreshed data: {}" {
		t.Errorf("active at another gateway: %q", got)
	}
}

// TestPause: a stream is looked after at the very time of the warning, and soon after it.
func TestPause(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		time.Hour: beat, warning + time.Second: time.Second, warning: recheck, time.Second: recheck, -time.Second: recheck,
	} {
		if got := pause(left); got != want {
			t.Errorf("%s: %s", left, got)
		}
	}
}
