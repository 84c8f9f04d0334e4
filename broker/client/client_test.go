package client_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

func exchange(t *testing.T, c *client.Client) (string, error) {
	t.Helper()
	resp, err := c.Exchange(t.Context(), &intercomv1.ExchangeRequest{Audience: []string{"ledger"}})
	return resp.GetAccessToken(), err
}

func TestExchangeIsMadeWithTheSVID(t *testing.T) {
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	got, err := exchange(t, c)
	if err != nil || got != c.Conn().Thumbprint() {
		t.Errorf("the broker saw %q, the Conn is %q: %v", got, c.Conn().Thumbprint(), err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	d := domain(t, embedded.Config{})
	full := client.Config{Addresses: []string{"x:1"}, Source: d.Source(d.ID("/orders"))}
	if _, err := client.New(full); err == nil || !strings.Contains(err.Error(), "who is a broker") {
		t.Errorf("without an authorizer: %v", err)
	}
	if _, err := client.New(client.Config{}); err == nil {
		t.Error("without addresses: no error")
	}
}

func TestRefusalsComeBackAsMeant(t *testing.T) {
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{exchange: func(context.Context, int64) error {
		return fault.WithDecision(fault.New(fault.Denied, "NOT_FOR_YOU", "policy does not allow it"), "d-42")
	}})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	_, err := exchange(t, c)
	if f := fault.From(err); f.Kind != fault.Denied || f.Reason != "NOT_FOR_YOU" || f.Decision != "d-42" {
		t.Errorf("got %+v", f)
	}
	if n := b.calls.Load(); n != 1 {
		t.Errorf("a refusal was asked for %d times", n)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	sealed := func(wait time.Duration) *fault.Error {
		f := fault.New(fault.Unavailable, "VAULT_SEALED", "the store is sealed")
		f.RetryAfter = wait
		return f
	}
	for name, test := range map[string]struct {
		failures int64
		wait     time.Duration
		cfg      client.Config
		calls    int64
		atLeast  time.Duration
		atMost   time.Duration
		ok       bool
	}{
		"until it works, not before it is asked to": {2, 100 * time.Millisecond, client.Config{}, 3, 200 * time.Millisecond, 30 * time.Second, true},
		"no further than its patience":              {99, 100 * time.Millisecond, client.Config{Patience: 350 * time.Millisecond}, 4, 100 * time.Millisecond, 9 * time.Second, false},
		"not when asked to wait longer":             {99, time.Minute, client.Config{}, 1, 0, 30 * time.Second, false},
		"not when told to try once":                 {99, time.Millisecond, client.Config{Patience: -1}, 1, 0, 30 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := domain(t, embedded.Config{})
			b := start(t, d, "/broker", anywhere, &broker{exchange: func(_ context.Context, n int64) error {
				if n <= test.failures {
					return sealed(test.wait)
				}
				return nil
			}})
			test.cfg.Addresses = []string{b.mesh.addr()}
			c := dial(t, d, test.cfg)
			begin := time.Now()
			_, err := exchange(t, c)
			took := time.Since(begin)
			if (err == nil) != test.ok || b.calls.Load() > test.calls || test.ok && b.calls.Load() != test.calls {
				t.Errorf("%d calls, %v", b.calls.Load(), err)
			}
			if took < test.atLeast || took > test.atMost {
				t.Errorf("took %v", took)
			}
			if f := fault.From(err); !test.ok && f.Reason != "VAULT_SEALED" {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// TestSlowBroker: one broker takes calls and no longer answers them; the other half of the time is for the
// other one.
func TestSlowBroker(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{})
	var stuck atomic.Bool
	slow := start(t, d, "/broker", anywhere, &broker{exchange: func(ctx context.Context, _ int64) error {
		if stuck.Load() {
			<-ctx.Done()
		}
		return ctx.Err()
	}})
	good := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{slow.mesh.addr(), good.mesh.addr()}, Timeout: 2 * time.Second})
	eventually(t, "both are asked", func() bool {
		_, err := exchange(t, c)
		return err == nil && slow.calls.Load() > 0 && good.calls.Load() > 0
	})
	stuck.Store(true)
	before := slow.calls.Load()
	for range 3 {
		if _, err := exchange(t, c); err != nil {
			t.Errorf("call: %v", err)
		}
	}
	if slow.calls.Load() == before {
		t.Error("the slow one was never asked")
	}
}

func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{exchange: func(ctx context.Context, n int64) error {
		if n > 1 {
			<-ctx.Done()
		}
		return ctx.Err()
	}})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	if _, err := exchange(t, c); err != nil { // so that it is connected, however slow the machine
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Exchange(ctx, &intercomv1.ExchangeRequest{}); !errors.Is(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
}

func TestNoBroker(t *testing.T) {
	d := domain(t, embedded.Config{})
	c := dial(t, d, client.Config{Patience: -1})
	_, err := exchange(t, c)
	f := fault.From(err)
	if f.Kind != fault.Unavailable || f.Reason != "BROKER_UNREACHABLE" || !strings.Contains(f.Message, "127.0.0.1:1") {
		t.Errorf("got %+v", f)
	}
}

func TestImpostor(t *testing.T) {
	d := domain(t, embedded.Config{})
	b := start(t, d, "/not-the-broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}, Patience: -1})
	_, err := exchange(t, c)
	f := fault.From(err)
	if f.Kind != fault.Unavailable || f.Reason != "BROKER_UNTRUSTED" || !strings.Contains(f.Message, d.ID("/not-the-broker").String()) {
		t.Errorf("got %+v", f)
	}
	if b.calls.Load() != 0 {
		t.Error("it was asked")
	}
}

func TestForeignDomain(t *testing.T) {
	d, other := domain(t, embedded.Config{}), domain(t, embedded.Config{})
	b := start(t, other, "/broker", anywhere, &broker{}) // the same name, another authority
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}, Patience: -1})
	if _, err := exchange(t, c); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}
