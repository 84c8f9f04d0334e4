package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/kv"
)

// index enters the session where logouts and operators look for it. Its absolute end is its score: that
// never moves, while the provider's end does with each refresh.
func (s *Store) index(ctx context.Context, v session.Session) error {
	now, end := s.now(), v.Absolute.Add(grace)
	args := []string{
		strconv.FormatInt(now.UnixMilli(), 10), strconv.FormatInt(end.UnixMilli(), 10), v.Hash.String(), ms(end.Sub(now)),
	}
	for _, q := range indexesOf(v) {
		if _, err := s.kv.Run(ctx, s.scripts.index, []string{s.indexKey(q)}, args); err != nil {
			return session.Unavailable(err)
		}
	}
	return nil
}

func indexesOf(v session.Session) []session.Query {
	queries := []session.Query{{}, {Issuer: v.Issuer, Subject: v.Subject}}
	if v.SID != "" {
		queries = append(queries, session.Query{Issuer: v.Issuer, SID: v.SID})
	}
	return queries
}

// unindex takes sessions out that are over. That it may fail costs a look at them later.
func (s *Store) unindex(ctx context.Context, sessions []session.Session) {
	var cmds []rueidis.Completed
	for _, v := range sessions {
		for _, q := range indexesOf(v) {
			cmds = append(cmds, s.kv.B().Zrem().Key(s.indexKey(q)).Member(v.Hash.String()).Build())
		}
	}
	if len(cmds) > 0 {
		_, _ = s.kv.DoMulti(ctx, cmds...)
	}
}

// Logout implements [session.Index]: first the tombstone, for sessions that are not in the index yet;
// then those that are.
func (s *Store) Logout(ctx context.Context, l session.Logout) ([]session.Session, error) {
	if err := s.remember(ctx, l); err != nil {
		return nil, err
	}
	sessions, err := s.find(ctx, query(l), l.Covers)
	if err != nil {
		return nil, err
	}
	for _, v := range sessions {
		if err := s.End(ctx, v.Hash, session.EndOf(v, session.ReasonProvider, s.now())); err != nil {
			return nil, err
		}
	}
	s.unindex(ctx, sessions)
	return sessions, nil
}

func query(l session.Logout) session.Query {
	if l.SID != "" {
		return session.Query{Issuer: l.Issuer, SID: l.SID}
	}
	return session.Query{Issuer: l.Issuer, Subject: l.Subject}
}

// remember writes the tombstone; the latest of several iat stays. This is one key, so it may be a script.
func (s *Store) remember(ctx context.Context, l session.Logout) error {
	_, err := s.kv.Run(ctx, s.scripts.remember, []string{s.tombKey(query(l))}, []string{
		strconv.FormatInt(l.IssuedAt.UnixMilli(), 10), ms(session.LogoutLife),
	})
	if err != nil {
		return session.Unavailable(err)
	}
	return nil
}

// loggedOut reports whether a logout covers v.
func (s *Store) loggedOut(ctx context.Context, v session.Session) (bool, error) {
	for _, q := range indexesOf(v)[1:] { // nobody logs out all
		m, err := s.kv.Do(ctx, s.kv.B().Get().Key(s.tombKey(q)).Build())
		if kv.IsNil(err) {
			continue
		}
		if err != nil {
			return false, session.Unavailable(err)
		}
		iat, err := m.AsInt64()
		if err != nil { // not ours, or forged: refuse the login rather than overlook a logout
			return true, nil
		}
		l := session.Logout{Issuer: v.Issuer, SID: q.SID, Subject: q.Subject, IssuedAt: time.UnixMilli(iat)}
		if l.Covers(v) {
			return true, nil
		}
	}
	return false, nil
}

// List implements [session.Index].
func (s *Store) List(ctx context.Context, q session.Query) ([]session.Session, error) {
	return s.find(ctx, q, func(v session.Session) bool { return q.Matches(v) && s.now().Before(v.End()) })
}

// find loads what an index names and keeps what is wanted.
func (s *Store) find(ctx context.Context, q session.Query, want func(session.Session) bool) (out []session.Session, err error) {
	m, err := s.kv.Do(ctx, s.kv.B().Zrange().Key(s.indexKey(q)).Min("0").Max("-1").Build())
	if err != nil && !kv.IsNil(err) {
		return nil, session.Unavailable(err)
	}
	names, _ := m.AsStrSlice()
	hashes := make([]session.Hash, 0, len(names))
	for _, n := range names {
		if h, ok := session.ParseHash(n); ok {
			hashes = append(hashes, h)
		}
	}
	for len(hashes) > 0 {
		n := min(len(hashes), loadAtOnce)
		if out, err = s.loadMany(ctx, hashes[:n], want, out); err != nil {
			return nil, err
		}
		hashes = hashes[n:]
	}
	return out, nil
}

// loadAtOnce bounds what is asked for in one round trip, and so what it takes of the command's deadline.
const loadAtOnce = 200

func (s *Store) loadMany(ctx context.Context, hashes []session.Hash, want func(session.Session) bool, out []session.Session) ([]session.Session, error) {
	cmds := make([]rueidis.Completed, 0, len(hashes))
	for _, h := range hashes {
		cmds = append(cmds, s.kv.B().Get().Key(s.session(h)).Build())
	}
	found, err := s.kv.DoMulti(ctx, cmds...)
	if err != nil {
		return nil, session.Unavailable(err)
	}
	for i, h := range hashes {
		data, err := found[i].AsBytes()
		if err != nil { // swept already
			continue
		}
		if v, err := s.ring.Open(h, data); err == nil && want(v) {
			out = append(out, v)
		}
	}
	return out, nil
}

func (s *Store) indexKey(q session.Query) string {
	kind, text := q.Index()
	return s.prefix + "i:" + kind + ":" + name(text)
}

func (s *Store) tombKey(q session.Query) string {
	kind, text := q.Index()
	return s.prefix + "t:" + kind + ":" + name(text)
}
