package sessiontest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Open opens a store as one more gateway would: each call on the same sessions. It closes with the test.
type Open func(t *testing.T) session.Shared

// Issuer is the provider of all sessions here.
const Issuer = "https://login.example"

// Patience is how long something may take that takes milliseconds: tests run on loaded machines.
const Patience = 20 * time.Second

// Run holds a store to the contract. For each test fresh prepares a place without sessions.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"what is created is loaded", created},
		{"what is not there is no session", absent},
		{"an id is used once", createdTwice},
		{"a session that is too large is refused", tooLarge},
		{"replace compares and swaps", replaced},
		{"of many writers one wins each version", contended},
		{"an end wins over late writes", endWins},
		{"activity does not revive", lateTouch},
		{"a logout by sid ends that session", logoutBySID},
		{"a logout by subject ends what is older", logoutBySubject},
		{"a logout that comes first wins", logoutFirst},
		{"a logout that comes at once wins", logoutRaces},
		{"a logout by sid stays with its issuer", logoutOfAnotherIssuer},
		{"a lock has one owner", locked},
		{"a lock ends with its lease", leased},
		{"operators find sessions", listed},
		{"all hear of changes", heard},
		{"an end reaches every gateway", EndReachesAll},
		{"gateways refresh once", OneRefresh},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

// New returns a session as a login makes it, for an hour.
func New(sub, sid string) session.Session {
	now := time.Now().Truncate(time.Millisecond).UTC()
	return session.Session{
		Hash: session.NewID().Hash(), Origin: "https://app.example", Issuer: Issuer, Subject: sub, SID: sid,
		Groups: []string{"staff"}, Claims: map[string]json.RawMessage{"name": json.RawMessage(`"A. Nna"`)},
		AuthTime: now.Add(-time.Minute), ACR: "1", Created: now, Absolute: now.Add(time.Hour), ProviderEnd: now.Add(30 * time.Minute),
		Idle: 10 * time.Minute, Tokens: Tokens(1, now.Add(time.Hour)), Version: 1,
	}
}

// Tokens returns the tokens of a generation. They look like what they are, so that a dump can be searched.
func Tokens(generation uint64, expiry time.Time) session.Tokens {
	token := func(kind string) secret.Value {
		return secret.FromString(fmt.Sprintf("eyJhbGciOiJFUzI1NiJ9.%s-%d", kind, generation))
	}
	return session.Tokens{
		Access: token("access"), Refresh: token("refresh"), ID: token("id"), Key: token("key"),
		Issued: expiry.Add(-time.Hour), Expiry: expiry, Generation: generation,
	}
}

// Diff compares sessions, tokens included.
func Diff(want, got session.Session) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b secret.Value) bool { return a.Equal(b) }))
}

func create(t *testing.T, s session.Store, v session.Session) session.Session {
	t.Helper()
	if err := s.Create(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Eventually polls until the condition holds.
func Eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !condition(); {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", Patience, what)
		}
		<-time.After(2 * time.Millisecond)
	}
}
