package cache

import (
	"time"
)

// entry is what is known of one key. The cache's lock guards it.
type entry[V any] struct {
	value   Fetched[V]
	has     bool
	fetched time.Time
	due     time.Time // when the renewal comes due

	err      error     // the last failure; nil after a success
	failures int       // in a row
	quiet    time.Time // until then err is repeated without asking

	used     bool // since the last fetch
	lastUsed time.Time
	held     bool

	flight *flight[V]
	timer  *time.Timer
}

// flight is one fetch that is under way, for all who wait for it.
type flight[V any] struct {
	done   chan struct{}
	served Served[V]
	err    error
}

// servable reports whether the value may be handed out now. A value that came due is served while its
// renewal is under way; once the renewal failed, the staleness budget counts, from the moment it was due.
func (e *entry[V]) servable(now time.Time) bool {
	if !e.has || !now.Before(e.value.Expires) {
		return false
	}
	return e.err == nil || now.Before(e.due.Add(e.value.Stale))
}

func (e *entry[V]) serve(now time.Time) Served[V] {
	from := Fresh
	if e.err != nil {
		from = Stale
	}
	return Served[V]{Value: e.value.Value, From: from, Fetched: e.fetched, Expires: e.value.Expires}
}

// keep takes in what a flight brought.
func (e *entry[V]) keep(got Fetched[V], now time.Time, jitter float64) {
	e.value, e.has, e.fetched, e.due = got, true, now, renewal(got, now, jitter)
	e.err, e.failures, e.quiet, e.used = nil, 0, time.Time{}, false
}

// leastLife keeps values that end at once from being fetched in a circle.
const leastLife = time.Second

// renewal is when a value that was fetched now is to be fetched again: where its source says so, or
// after two thirds of its life, less up to a tenth of it.
func renewal[V any](got Fetched[V], now time.Time, jitter float64) time.Time {
	life := got.Expires.Sub(now)
	due := now.Add(life*2/3 - time.Duration(jitter*float64(life)/10))
	if got.RenewAfter.After(now) && got.RenewAfter.Before(got.Expires) {
		due = got.RenewAfter
	}
	if least := now.Add(min(leastLife, life)); due.Before(least) {
		return least
	}
	return due
}

// wake arms the entry's timer.
func (e *entry[V]) wake(after time.Duration, f func()) {
	e.stop()
	e.timer = time.AfterFunc(after, f)
}

func (e *entry[V]) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}
