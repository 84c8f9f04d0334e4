package sessiontest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

func created(t *testing.T, open Open) {
	a, b := open(t), open(t)
	want := create(t, a, New("ann", "s1"))
	got, err := b.Load(t.Context(), want.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if diff := Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if active, err := b.Active(t.Context(), want.Hash); err != nil || !active.Equal(want.Created) {
		t.Errorf("a login is activity: %v, %v", active, err)
	}
}

func absent(t *testing.T, open Open) {
	s := open(t)
	v := New("ann", "s1")
	_, loadErr := s.Load(t.Context(), v.Hash)
	for what, err := range map[string]error{"load": loadErr, "replace": s.Replace(t.Context(), v)} {
		if !errors.Is(err, fault.Unauthenticated) || fault.From(err).Code() != session.CodeNone {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Touch(t.Context(), v, time.Now()); err != nil {
		t.Errorf("touching what is not there: %v", err)
	}
	if active, err := s.Active(t.Context(), v.Hash); err != nil || !active.IsZero() {
		t.Errorf("a touch made something: %v, %v", active, err)
	}
}

func createdTwice(t *testing.T, open Open) {
	a, b := open(t), open(t)
	first := create(t, a, New("ann", "s1"))
	second := New("bob", "s2")
	second.Hash = first.Hash
	if err := b.Create(t.Context(), second); !errors.Is(err, session.ErrConflict) {
		t.Errorf("a second session of the same id: %v", err)
	}
	if got, err := b.Load(t.Context(), first.Hash); err != nil || got.Subject != "ann" {
		t.Errorf("it took the place of the first: %v, %v", got.Subject, err)
	}
}

func tooLarge(t *testing.T, open Open) {
	s := open(t)
	v := New("ann", "s1")
	v.Claims = map[string]json.RawMessage{"all": json.RawMessage(`"` + strings.Repeat("a", 128<<10) + `"`)}
	if err := s.Create(t.Context(), v); !errors.Is(err, fault.TooLarge) {
		t.Errorf("created: %v", err)
	}
	small := create(t, s, New("bob", "s2"))
	small.Claims = v.Claims
	if err := s.Replace(t.Context(), small); !errors.Is(err, fault.TooLarge) {
		t.Errorf("replaced: %v", err)
	}
}

func replaced(t *testing.T, open Open) {
	a, b := open(t), open(t)
	first := create(t, a, New("ann", "s1"))
	next := first
	next.Tokens = Tokens(2, first.Tokens.Expiry.Add(time.Minute))
	next.ProviderEnd = first.ProviderEnd.Add(time.Minute)
	if err := b.Replace(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	late := first
	late.Tokens = Tokens(3, first.Tokens.Expiry)
	if err := a.Replace(t.Context(), late); !errors.Is(err, session.ErrConflict) {
		t.Errorf("a write over another's: %v", err)
	}
	next.Version++
	got, err := a.Load(t.Context(), first.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if diff := Diff(next, got); diff != "" {
		t.Error(diff)
	}
}

// contended has writers that each add one, by load and replace, as often as it takes.
func contended(t *testing.T, open Open) {
	const writers, each = 4, 10
	v := create(t, open(t), New("ann", "s1"))
	var wg sync.WaitGroup
	for range writers {
		s := open(t)
		wg.Go(func() {
			for done := 0; done < each; {
				cur, err := s.Load(t.Context(), v.Hash)
				if err != nil {
					t.Error(err)
					return
				}
				cur.Tokens.Generation++
				switch err := s.Replace(t.Context(), cur); {
				case err == nil:
					done++
				case !errors.Is(err, session.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := open(t).Load(t.Context(), v.Hash)
	if err != nil || got.Tokens.Generation != 1+writers*each || got.Version != 1+writers*each {
		t.Errorf("%d writes made generation %d, version %d, %v", writers*each, got.Tokens.Generation, got.Version, err)
	}
}

func endWins(t *testing.T, open Open) {
	a, b := open(t), open(t)
	v := create(t, a, New("ann", "s1"))
	if err := a.End(t.Context(), v.Hash, session.EndOf(v, session.ReasonLogout, time.Now())); err != nil {
		t.Fatal(err)
	}
	if err := b.End(t.Context(), v.Hash, session.EndOf(v, session.ReasonExpired, time.Now())); err != nil {
		t.Fatal(err)
	}
	_, loadErr := b.Load(t.Context(), v.Hash)
	for what, err := range map[string]error{
		"load": loadErr, "a write that comes late": b.Replace(t.Context(), v), "a creation that comes late": b.Create(t.Context(), v),
	} {
		e, ok := errors.AsType[*session.Ended](err)
		if !ok || e.Reason != session.ReasonLogout || !e.Hint.Equal(v.Tokens.ID) || e.Origin != v.Origin || e.SID != "s1" {
			t.Errorf("%s: %+v", what, err)
		}
		if !errors.Is(err, fault.Unauthenticated) || fault.From(err).Code() != session.CodeRevoked {
			t.Errorf("%s is no refusal to a browser: %v", what, err)
		}
	}
}

func lateTouch(t *testing.T, open Open) {
	a, b := open(t), open(t)
	v := create(t, a, New("ann", "s1"))
	at := v.Created.Add(time.Minute)
	if err := b.Touch(t.Context(), v, at); err != nil {
		t.Fatal(err)
	}
	if active, err := a.Active(t.Context(), v.Hash); err != nil || !active.Equal(at) {
		t.Errorf("active %v, %v; want %v", active, err, at)
	}
	if got, err := a.Load(t.Context(), v.Hash); err != nil || got.Version != 1 {
		t.Errorf("activity is a write of the session: version %d, %v", got.Version, err)
	}
	if err := a.End(t.Context(), v.Hash, session.EndOf(v, session.ReasonLogout, at)); err != nil {
		t.Fatal(err)
	}
	if err := b.Touch(t.Context(), v, at.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if active, err := b.Active(t.Context(), v.Hash); err != nil || !active.IsZero() {
		t.Errorf("a session that ended is active: %v, %v", active, err)
	}
}

func locked(t *testing.T, open Open) {
	a, b := open(t), open(t)
	v := create(t, a, New("ann", "s1"))
	var owners atomic.Int32
	var wg sync.WaitGroup
	for _, owner := range []string{"1", "2", "3", "4", "5", "6"} {
		wg.Go(func() {
			if got, err := open(t).Lock(t.Context(), v.Hash, owner, time.Minute); err != nil {
				t.Error(err)
			} else if got {
				owners.Add(1)
				if renewed, err := b.Lock(t.Context(), v.Hash, owner, time.Minute); err != nil || !renewed {
					t.Errorf("the owner may not renew: %v, %v", renewed, err)
				}
				_ = b.Unlock(t.Context(), v.Hash, "another") // who does not have it gives nothing back
			}
		})
	}
	wg.Wait()
	if n := owners.Load(); n != 1 {
		t.Errorf("%d owners", n)
	}
}

func leased(t *testing.T, open Open) {
	a, b := open(t), open(t)
	v := create(t, a, New("ann", "s1"))
	if got, err := a.Lock(t.Context(), v.Hash, "dies", 200*time.Millisecond); err != nil || !got {
		t.Fatal(got, err)
	}
	Eventually(t, "a lease ends", func() bool {
		got, err := b.Lock(t.Context(), v.Hash, "next", time.Minute)
		return got && err == nil
	})
	if err := b.Unlock(t.Context(), v.Hash, "next"); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Lock(t.Context(), v.Hash, "third", time.Minute); err != nil || !got {
		t.Errorf("a lock that was given back: %v, %v", got, err)
	}
}

func listed(t *testing.T, open Open) {
	s := open(t)
	one, two, three := create(t, s, New("ann", "s1")), create(t, s, New("ann", "s2")), create(t, s, New("bob", "s3"))
	over := create(t, s, New("ann", "s4"))
	if err := s.End(t.Context(), over.Hash, session.EndOf(over, session.ReasonLogout, time.Now())); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query session.Query
		want  []session.Session
	}{
		{session.Query{}, []session.Session{one, two, three}},
		{session.Query{Issuer: Issuer, Subject: "ann"}, []session.Session{one, two}},
		{session.Query{Issuer: Issuer, SID: "s3"}, []session.Session{three}},
		{session.Query{Issuer: "https://other.example", Subject: "ann"}, nil},
	} {
		got, err := open(t).List(t.Context(), c.query)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(c.want) {
			t.Errorf("%+v: %d sessions, want %d", c.query, len(got), len(c.want))
		}
		for _, v := range c.want {
			if !slices.ContainsFunc(got, func(g session.Session) bool { return g.Hash == v.Hash }) {
				t.Errorf("%+v: %s of %s is missing", c.query, v.SID, v.Subject)
			}
		}
	}
}

func heard(t *testing.T, open Open) {
	a, b := open(t), open(t)
	news := make(chan session.Hash, 100)
	b.Changed(func(hashes []session.Hash) {
		for _, h := range hashes {
			news <- h
		}
	})
	v := create(t, a, New("ann", "s1"))
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"a write", func() error { return a.Replace(t.Context(), v) }},
		{"a logout", func() error {
			_, err := a.Logout(t.Context(), session.Logout{Issuer: Issuer, SID: "s1", IssuedAt: time.Now()})
			return err
		}},
	} {
		// The answer comes after the news of what was done before, by the same connection.
		if _, err := b.Load(t.Context(), v.Hash); err != nil {
			t.Fatal(err)
		}
		for len(news) > 0 {
			<-news
		}
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		select {
		case h := <-news:
			if h != v.Hash {
				t.Errorf("%s: heard of %v", c.what, h)
			}
		case <-time.After(Patience):
			t.Errorf("never heard of %s", c.what)
		}
	}
}
