package session_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
)

// BenchmarkGet is what a session costs each request: it is in memory, and the store is not asked.
func BenchmarkGet(b *testing.B) {
	m := session.New(session.Config{Store: session.NewMemory(nil)})
	id, s, err := m.Create(b.Context(), sessiontest.New("ann", "s1"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Get(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		m.Touch(s)
	}
}
