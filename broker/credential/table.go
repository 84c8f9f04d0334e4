package credential

import (
	"container/list"
	"maps"
	"sync"
	"time"
)

// answer is what the store said, and when it was asked: a credential that it changes while the answer
// travels is no older than the question.
type answer struct {
	Credential
	asked      time.Time
	generation uint64
}

// hard returns when the answer must no longer be used by a caller with that budget.
func (a answer) hard(cfg CacheConfig, stale time.Duration) time.Time {
	end := a.asked.Add(cfg.Fresh + stale)
	if !a.NotAfter.IsZero() && a.NotAfter.Before(end) {
		return a.NotAfter
	}
	return end
}

func (a answer) view(cfg CacheConfig, now time.Time, stale time.Duration) view {
	hard := a.hard(cfg, stale)
	return view{answer: a, now: now, hard: hard, usable: !a.asked.IsZero() && now.Before(hard)}
}

// view is what the table knew of a name at one moment, for one budget.
type view struct {
	answer
	now     time.Time
	hard    time.Time
	usable  bool  // before its hard deadline
	fresh   bool  // usable, and need not be asked for
	due     bool  // fresh, but it is time to ask ahead
	failure error // how the last question ended, nil when well
	held    bool  // that is so recent that no other question is put
}

func (v view) serve(from From) Served {
	c := v.Credential
	c.Fields = maps.Clone(c.Fields) // each caller gets a map of its own; the bytes are shared
	return Served{Credential: c, From: from, Age: v.now.Sub(v.asked), HardDeadline: v.hard}
}

func (v view) fallBack() (Served, error) {
	if v.usable && outage(v.failure) {
		return v.serve(Stale), nil
	}
	return Served{}, v.failure
}

// entry is one name's row.
type entry struct {
	name     Name
	answer   answer // asked is zero: none
	budget   time.Duration
	failure  error
	failed   time.Time
	failedIn uint64    // generation
	doubted  time.Time // what was asked for until then is not fresh
}

// table keeps the entries, the most recently used first.
type table struct {
	cfg CacheConfig

	mu      sync.Mutex
	rows    map[Name]*list.Element // of *entry
	order   *list.List
	forgets uint64 // how often something was forgotten on request
	swept   time.Time
}

func newTable(cfg CacheConfig) *table {
	return &table{cfg: cfg, rows: map[Name]*list.Element{}, order: list.New()}
}

func (t *table) look(name Name, generation uint64, now time.Time, stale time.Duration) view {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(name, now)
	e.budget = max(e.budget, stale)
	v := e.answer.view(t.cfg, now, stale)
	v.failure = e.failure
	v.held = e.failure != nil && e.failedIn == generation && now.Before(e.failed.Add(t.cfg.Backoff))
	fresh := e.answer.hard(t.cfg, 0)
	doubtful := !e.doubted.IsZero() && !e.answer.asked.After(e.doubted)
	v.fresh = v.usable && e.answer.generation == generation && now.Before(fresh) && !doubtful
	v.due = v.fresh && !v.held && !now.Before(fresh.Add(-fresh.Sub(e.answer.asked)/3))
	return v
}

// start is what a question must remember until its answer lands.
type start struct {
	asked      time.Time
	generation uint64
	forgets    uint64
}

func (t *table) begin(generation uint64, now time.Time) start {
	t.mu.Lock()
	defer t.mu.Unlock()
	return start{asked: now, generation: generation, forgets: t.forgets}
}

// land keeps what the store answered, unless something was forgotten since it was asked: then the answer
// goes to those who wait for it and to nobody else. That this looks at no name costs a question now
// and then, and no memory. A no is never lost in this way: it takes what was kept with it.
func (t *table) land(name Name, s start, a answer, err error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	late, final := t.forgets != s.forgets, err != nil && !outage(err)
	if late && !final {
		return
	}
	e := t.entry(name, now)
	switch {
	case err == nil:
		e.answer, e.failure = a, nil
		return
	case final:
		e.answer = answer{}
	}
	e.failure, e.failed, e.failedIn = err, now, s.generation
}

// entry returns the row of name, a new one where there is none.
func (t *table) entry(name Name, now time.Time) *entry {
	if row, ok := t.rows[name]; ok {
		t.order.MoveToFront(row)
		return row.Value.(*entry)
	}
	t.sweep(now)
	for len(t.rows) >= t.cfg.Size {
		t.drop(t.order.Back())
	}
	e := &entry{name: name}
	t.rows[name] = t.order.PushFront(e)
	t.cfg.Metrics.held(len(t.rows))
	return e
}

// sweep drops what nobody may be served any more: a secret that is of no use has no business in memory.
// New names set it off, at most once in the time that answers are fresh.
func (t *table) sweep(now time.Time) {
	if now.Before(t.swept.Add(t.cfg.Fresh)) {
		return
	}
	t.swept = now
	for _, row := range t.rows {
		if e := row.Value.(*entry); !e.answer.view(t.cfg, now, e.budget).usable && !now.Before(e.failed.Add(t.cfg.Backoff)) {
			t.drop(row)
		}
	}
}

func (t *table) drop(row *list.Element) {
	delete(t.rows, t.order.Remove(row).(*entry).name)
	t.cfg.Metrics.held(len(t.rows))
}

func (t *table) doubt(name Name, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if row, ok := t.rows[name]; ok {
		row.Value.(*entry).doubted = now
	}
}

func (t *table) forget(name Name) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgets++
	if row, ok := t.rows[name]; ok {
		t.drop(row)
	}
}
