package provider_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// asked is how often s was asked for its metadata.
func asked(s *providertest.Server) int { return len(s.Calls(openid.PathDiscovery)) }

// TestAnswers: what the provider said speaks for it for five seconds; then it is asked, once for all who wait.
func TestAnswers(t *testing.T) {
	s, now := server(t, nil), newClock()
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	for range 3 {
		if err := p.Answers(t.Context()); err != nil || asked(s) != 1 {
			t.Fatalf("it was heard a moment ago: %v, asked %d times", err, asked(s))
		}
	}
	now.Add(6 * time.Second)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := p.Answers(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if asked(s) != 2 {
		t.Errorf("50 want to know: asked %d times, want 1", asked(s)-1)
	}
}

// TestSilence is told within the time that a person waits, to each who comes in the next two seconds at once; one that is
// back is found by itself.
func TestSilence(t *testing.T) {
	for name, f := range map[string]providertest.Fault{
		"hung": providertest.Hang(), "cut": providertest.Lost(), "a proxy's 503": providertest.Status(503, 0),
		"its realm is gone": providertest.Status(404, 0), "a proxy's page": providertest.Raw([]byte("<p>soon</p>")),
		"another's": providertest.Answer(func(m map[string]any) { m["issuer"] = "https://other.test" }),
	} {
		s, now := server(t, nil), newClock()
		p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
		now.Add(6 * time.Second)
		s.Break(openid.PathDiscovery, f)
		began := time.Now()
		err := p.Answers(deadline(t))
		if fault.KindOf(err) != fault.Unavailable || !provider.Away(err) || fault.From(err).RetryAfter == 0 || time.Since(began) > 10*time.Second {
			t.Errorf("%s, %v: %v", name, time.Since(began), err)
		}
		before := asked(s)
		if again := p.Answers(t.Context()); again == nil || asked(s) != before {
			t.Errorf("%s, at once again: %v, asked %d times", name, again, asked(s)-before)
		}
		if p.Ready() != nil || p.Standing() == nil {
			t.Errorf("%s: ready %v, standing %v", name, p.Ready(), p.Standing())
		}
		s.Heal()
		now.Add(3 * time.Second)
		if err := p.Answers(deadline(t)); err != nil {
			t.Errorf("%s, and back: %v", name, err)
		}
	}
}

// TestStanding is told without waiting, and has the provider asked for who wants to know later.
func TestStanding(t *testing.T) {
	s, now := server(t, nil), newClock()
	var log buffer
	p := open(t, s, func(c *provider.Config) { c.Now, c.Logger = now.Now, slog.New(slog.NewTextHandler(&log, nil)) })
	watch(t, p)
	for _, step := range []struct {
		with   providertest.Fault
		stands bool
		said   string
	}{
		{nil, true, ""}, {providertest.Status(404, 0), false, "level=WARN"}, {providertest.Hang(), false, "level=WARN"},
		{nil, true, "level=INFO"}, {providertest.Status(429, 0), true, "level=INFO"},
	} {
		s.Break(openid.PathDiscovery, step.with)
		now.Add(6 * time.Second)
		eventually(t, "it is known", func() bool { return (p.Standing() == nil) == step.stands })
		eventually(t, step.said+" is logged", func() bool { return strings.Contains(log.String(), step.said) })
	}
	if n := strings.Count(log.String(), "level="); n != 2 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}

// TestEachSilenceIsTold, also where it is a call that finds the provider back, and not a question.
func TestEachSilenceIsTold(t *testing.T) {
	s, now := server(t, nil), newClock()
	var log buffer
	p := open(t, s, func(c *provider.Config) { c.Now, c.Logger = now.Now, slog.New(slog.NewTextHandler(&log, nil)) })
	watch(t, p)
	tokens, claims := login(t, s, p)
	s.Break(openid.PathDiscovery, providertest.Status(503, 0))
	for i := range 3 {
		now.Add(6 * time.Second)
		if p.Answers(t.Context()) == nil {
			t.Fatal("it answers")
		}
		eventually(t, "its silence is told", func() bool { return strings.Count(log.String(), "level=WARN") == i+1 })
		var err error
		if tokens, _, err = p.Refresh(t.Context(), tokens.Refresh, claims); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its return is told", func() bool { return strings.Count(log.String(), "level=INFO") == i+1 })
	}
}

// buffer is written to by who asks in the background.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestDoubt: a call that fails is no proof, but a reason to ask; one that is answered ends the silence.
func TestDoubt(t *testing.T) {
	s, now := server(t, nil), newClock()
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	tokens, claims := login(t, s, p)
	s.Break(openid.PathToken, providertest.Status(500, 0))
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err == nil {
		t.Fatal("refreshed")
	}
	if err := p.Answers(t.Context()); err != nil || asked(s) != 2 {
		t.Errorf("a token endpoint that fails: %v, asked %d times", err, asked(s))
	}
	s.Break(openid.PathDiscovery, providertest.Status(503, 0))
	now.Add(6 * time.Second)
	if err := p.Answers(t.Context()); err == nil {
		t.Error("it answers")
	}
	s.Break(openid.PathToken, nil)
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err != nil {
		t.Fatal(err)
	}
	if err := p.Answers(t.Context()); err != nil {
		t.Errorf("it gave tokens a moment ago: %v", err)
	}
	for _, endpoint := range []string{openid.PathToken, openid.PathDiscovery} {
		s.Break(endpoint, providertest.Status(404, 0))
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err == nil {
		t.Fatal("refreshed")
	}
	if err := p.Answers(t.Context()); err == nil {
		t.Error("it answers, from a server that does not have it any more")
	}
}

// TestWhoAskedHasLeft: that says nothing of the provider.
func TestWhoAskedHasLeft(t *testing.T) {
	s, now := server(t, nil), newClock()
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	tokens, claims := login(t, s, p)
	ctx, leave := context.WithCancel(t.Context())
	s.Break(openid.PathToken, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			leave()
			<-r.Context().Done()
		})
	})
	if _, _, err := p.Refresh(ctx, tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Unknown {
		t.Errorf("what became of the call: %v", err)
	}
	if err := p.Answers(t.Context()); err != nil || asked(s) != 1 {
		t.Errorf("it is doubted: %v, asked %d times", err, asked(s))
	}
}

// TestNoCallIntoSilence: after the first call that fails, nobody waits for the timeout of another while the provider is
// away, and none is lost when it is back.
func TestNoCallIntoSilence(t *testing.T) {
	s, now := server(t, nil), newClock()
	p := open(t, s, func(c *provider.Config) { c.Now, c.Timeout = now.Now, 3*time.Second })
	tokens, claims := login(t, s, p)
	for _, endpoint := range []string{openid.PathToken, openid.PathDiscovery} {
		s.Break(endpoint, providertest.Hang())
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Unknown {
		t.Fatalf("the first: %v", err)
	}
	for range 20 {
		if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Transient || !provider.Away(err) {
			t.Fatalf("another: %v", err)
		}
	}
	if n := s.Grants("refresh_token"); n != 1 {
		t.Errorf("%d calls", n)
	}
	s.Heal()
	now.Add(3 * time.Second)
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err != nil {
		t.Errorf("it is back: %v", err)
	}
}

// watch counts how often p comes back.
func watch(t *testing.T, p *provider.Provider) *atomic.Int32 {
	t.Helper()
	var back atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Watch(ctx, func() { back.Add(1) }) }()
	t.Cleanup(func() {
		if stop(); <-ended != nil {
			t.Error("it ends with an error")
		}
	})
	return &back
}

// TestWatch: the end of a silence is noticed though nobody asks any more, and told once. A call that fails alone is none:
// else an endpoint that is out of order would be tried again and again, for the sake of another that answers.
func TestWatch(t *testing.T) {
	s, now := server(t, nil), newClock()
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	back := watch(t, p)
	tokens, claims := login(t, s, p)
	s.Break(openid.PathToken, providertest.Status(503, 0))
	for range 5 {
		now.Add(6 * time.Second)
		if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err == nil {
			t.Fatal("refreshed")
		}
	}
	s.Break(openid.PathDiscovery, providertest.Status(503, 0))
	before := asked(s)
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err == nil {
		t.Fatal("refreshed")
	}
	eventually(t, "somebody asks", func() bool { return asked(s) > before })
	if n := back.Load(); n != 0 {
		t.Errorf("back %d times while it is silent", n)
	}
	s.Heal()
	now.Add(3 * time.Second)
	eventually(t, "somebody notices", func() bool { return back.Load() > 0 })
	if err := p.Answers(t.Context()); err != nil || back.Load() != 1 {
		t.Errorf("%v, back %d times", err, back.Load())
	}
}

// TestWatchTheFirst: who was away at the start is back with his first word, too.
func TestWatchTheFirst(t *testing.T) {
	s := server(t, nil)
	s.Break(openid.PathDiscovery, providertest.Lost())
	p, err := provider.Open(t.Context(), config(s, func(c *provider.Config) { c.Retry = 20 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	back := watch(t, p)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	s.Heal()
	eventually(t, "it is known, and back", func() bool { return p.Ready() == nil && back.Load() > 0 })
}

// TestImpatience: who leaves takes the question from nobody.
func TestImpatience(t *testing.T) {
	s, now := server(t, nil), newClock()
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	now.Add(6 * time.Second)
	s.Break(openid.PathDiscovery, providertest.Slow(100*time.Millisecond))
	left, leave := context.WithCancel(t.Context())
	leave()
	if err := p.Answers(left); fault.KindOf(err) != fault.Timeout {
		t.Errorf("who left: %v", err)
	}
	if err := p.Answers(deadline(t)); err != nil || asked(s) != 2 {
		t.Errorf("who stayed: %v, asked %d times", err, asked(s)-1)
	}
}
