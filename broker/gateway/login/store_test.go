package login_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// TestStores holds each store to what a login needs of it; the shared ones are real servers.
func TestStores(t *testing.T) {
	for name, open := range map[string]func(*testing.T) login.Store{
		"memory": func(*testing.T) login.Store { return login.NewMemory(nil) },
		"redis": func(t *testing.T) login.Store {
			return shared(t, kv.Config{Addresses: []string{stack.Redis(t).Addr}})
		},
		"cluster": func(t *testing.T) login.Store {
			return shared(t, kv.Config{Addresses: stack.StartRedisCluster(t).Addrs, Cluster: true})
		},
	} {
		t.Run(name, func(t *testing.T) { checkStore(t, open(t)) })
	}
}

func shared(t *testing.T, c kv.Config) login.Store {
	t.Helper()
	client, err := kv.Open(c, kv.Options{})
	must(t, err)
	t.Cleanup(client.Close)
	return login.NewShared(client)
}

func checkStore(t *testing.T, s login.Store) {
	mine, other := [32]byte{1}, [32]byte{2}
	take := func(key string) string {
		t.Helper()
		got, err := s.Take(t.Context(), key)
		must(t, err)
		return string(got)
	}
	must(t, s.Put(t.Context(), other, "others", []byte("others")))
	must(t, s.Keep(t.Context(), "kept", []byte("kept")))
	for i := range 12 {
		key := fmt.Sprintf("mine-%d", i)
		must(t, s.Put(t.Context(), mine, key, []byte(key)))
	}
	for i := range 12 {
		key, want := fmt.Sprintf("mine-%d", i), ""
		if i >= 4 {
			want = key
		}
		if got, err := s.Look(t.Context(), key); string(got) != want || err != nil {
			t.Errorf("%s is seen as %q, %v", key, got, err)
		}
		if got := take(key); got != want {
			t.Errorf("%s: %q", key, got)
		}
		if got := take(key); got != "" {
			t.Errorf("%s: taken twice", key)
		}
	}
	if got, err := s.Look(t.Context(), "kept"); string(got) != "kept" || err != nil {
		t.Errorf("what is counted to no browser: %q, %v", got, err)
	}
	if got := take("others"); got != "others" {
		t.Errorf("another browser's: %q", got)
	}
}

func TestMemoryForgets(t *testing.T) {
	now := time.Now()
	s := login.NewMemory(func() time.Time { return now })
	must(t, s.Put(t.Context(), [32]byte{}, "key", []byte("value")))
	must(t, s.Keep(t.Context(), "kept", []byte("value")))
	now = now.Add(login.Life)
	for _, key := range []string{"key", "kept"} {
		if got, err := s.Look(t.Context(), key); got != nil || err != nil {
			t.Errorf("seen: %q, %v", got, err)
		}
	}
	if got, err := s.Take(t.Context(), "key"); got != nil || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// weighed is a store that knows the largest of what it was given.
type weighed struct {
	login.Store
	largest int
}

func (s *weighed) Put(ctx context.Context, browser [32]byte, key string, sealed []byte) error {
	s.largest = max(s.largest, len(sealed))
	return s.Store.Put(ctx, browser, key, sealed)
}

func (s *weighed) Keep(ctx context.Context, key string, sealed []byte) error {
	s.largest = max(s.largest, len(sealed))
	return s.Store.Keep(ctx, key, sealed)
}

// TestStoresNoMoreThanWasSent: anybody can begin a login, so what he sends must not grow on its way into the store.
func TestStoresNoMoreThanWasSent(t *testing.T) {
	w := newWorld(t)
	store := &weighed{Store: w.Store}
	w.Store = store
	const sent = 4000
	w.browser(t).begin(t, "return_to="+url.QueryEscape("/?"+strings.Repeat("<", sent)))
	if store.largest < sent || store.largest > sent+2048 {
		t.Errorf("%d bytes of %d", store.largest, sent)
	}
}
