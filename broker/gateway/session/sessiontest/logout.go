package sessiontest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
)

func logoutBySID(t *testing.T, open Open) {
	a, b := open(t), open(t)
	one, other := create(t, a, New("ann", "s1")), create(t, a, New("ann", "s2"))
	same := New("ann", "s1") // another origin's, of the same provider session
	same.Origin = "https://other.example"
	create(t, b, same)
	over, err := b.Logout(t.Context(), session.Logout{Issuer: Issuer, SID: "s1", IssuedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(over) != 2 || over[0].SID != "s1" || over[0].Tokens.Refresh.IsZero() {
		t.Errorf("ended %d sessions; their refresh tokens are to be revoked", len(over))
	}
	for _, v := range []session.Session{one, same} {
		wantEnded(t, a, v)
	}
	if _, err := a.Load(t.Context(), other.Hash); err != nil {
		t.Errorf("another session of the user: %v", err)
	}
}

func wantEnded(t *testing.T, s session.Store, v session.Session) {
	t.Helper()
	_, err := s.Load(t.Context(), v.Hash)
	if e, ok := errors.AsType[*session.Ended](err); !ok || e.Reason != session.ReasonProvider {
		t.Errorf("%s of %s: %v, want its end", v.SID, v.Subject, err)
	}
}

func logoutBySubject(t *testing.T, open Open) {
	a, b := open(t), open(t)
	iat := time.Now().Truncate(time.Second)
	older, later, bobs := New("ann", "s1"), New("ann", "s2"), New("bob", "s3")
	older.AuthTime, later.AuthTime = iat, iat.Add(time.Second)
	for _, v := range []session.Session{older, later, bobs} {
		create(t, a, v)
	}
	if _, err := b.Logout(t.Context(), session.Logout{Issuer: Issuer, Subject: "ann", IssuedAt: iat}); err != nil {
		t.Fatal(err)
	}
	wantEnded(t, a, older)
	for _, v := range []session.Session{later, bobs} {
		if _, err := a.Load(t.Context(), v.Hash); err != nil {
			t.Errorf("%s of %s: %v", v.SID, v.Subject, err)
		}
	}
}

// logoutFirst is for a logout that arrives before the callback has stored its session.
func logoutFirst(t *testing.T, open Open) {
	a, b := open(t), open(t)
	iat := time.Now().Truncate(time.Second)
	for _, l := range []session.Logout{
		{Issuer: Issuer, SID: "s1", IssuedAt: iat},
		{Issuer: Issuer, Subject: "bob", IssuedAt: iat},
		{Issuer: Issuer, Subject: "bob", IssuedAt: iat.Add(-time.Hour)}, // and the later one counts
	} {
		if _, err := a.Logout(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	bySID, bySubject, again := New("ann", "s1"), New("bob", "s2"), New("bob", "s3")
	bySubject.AuthTime, again.AuthTime = iat, iat.Add(time.Second)
	for _, v := range []session.Session{bySID, bySubject} {
		err := b.Create(t.Context(), v)
		if e, ok := errors.AsType[*session.Ended](err); !ok || e.Reason != session.ReasonProvider {
			t.Errorf("%s of %s was created after its logout: %v", v.SID, v.Subject, err)
		}
		if got, err := a.Load(t.Context(), v.Hash); err == nil {
			t.Errorf("and stays: %v", got.SID)
		}
	}
	create(t, b, again) // he logged in after the logout
	create(t, b, New("ann", "s4"))
}

// logoutRaces lets a logout and a creation meet in as many ways as happen.
func logoutRaces(t *testing.T, open Open) {
	a, b := open(t), open(t)
	for i := range 40 {
		v := New("ann", fmt.Sprintf("s%d", i))
		var created, loggedOut error
		var wg sync.WaitGroup
		wg.Go(func() { created = a.Create(t.Context(), v) })
		wg.Go(func() {
			_, loggedOut = b.Logout(t.Context(), session.Logout{Issuer: Issuer, SID: v.SID, IssuedAt: time.Now()})
		})
		wg.Wait()
		if _, ok := errors.AsType[*session.Ended](created); created != nil && !ok || loggedOut != nil {
			t.Fatal(created, loggedOut)
		}
		if _, err := b.Load(t.Context(), v.Hash); err == nil {
			t.Fatalf("round %d: the session lives on after its logout", i)
		}
	}
}

func logoutOfAnotherIssuer(t *testing.T, open Open) {
	s := open(t)
	v := create(t, s, New("ann", "s1"))
	for _, l := range []session.Logout{
		{Issuer: "https://other.example", SID: "s1", IssuedAt: time.Now()},
		{Issuer: "https://other.example", Subject: "ann", IssuedAt: time.Now()},
	} {
		if over, err := s.Logout(t.Context(), l); err != nil || len(over) != 0 {
			t.Errorf("%+v ended %d sessions, %v", l, len(over), err)
		}
	}
	if _, err := s.Load(t.Context(), v.Hash); err != nil {
		t.Error(err)
	}
}
