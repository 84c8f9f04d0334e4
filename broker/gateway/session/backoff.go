package session

import (
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// The pause after a transient failure doubles from the one to the other.
const firstPause, longestPause = time.Second, 30 * time.Second

// retrySpace is between two refreshes of those who waited for the provider. One of its cores does twice as many when it is warm
// (Keycloak reckons 120 a second), and it has just come back, to all gateways at once.
const retrySpace = time.Second / 50

// pause is for how long a session's provider is left alone, and how long that was the last time.
type pause struct {
	until time.Time
	last  time.Duration
}

// postpone lets a session's provider alone for longer than the last time, and returns for how long.
func (m *Manager) postpone(h Hash, cause error) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.backoff[h]
	p.last = min(max(2*p.last, firstPause), longestPause)
	p.last = max(p.last, min(fault.From(cause).RetryAfter, longestPause))
	p.until = m.Now().Add(p.last)
	m.backoff[h] = p
	return p.last
}

// Retry ends the pauses, for a provider that was silent and is heard again: one after the other, and none later than it would
// have ended. It refreshes nothing: that is done on use, as ever. Whose next try fails waits for longer than the last time.
func (m *Manager) Retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.Now()
	for h, p := range m.backoff { // in no order: nobody is the last each time
		if next.Before(p.until) {
			p.until = next
			m.backoff[h] = p
			next = next.Add(retrySpace)
		}
	}
}

// forgive forgets the pauses of a session whose refresh is done.
func (m *Manager) forgive(h Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.backoff, h)
}
