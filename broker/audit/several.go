package audit

import (
	"context"
	"iter"
	"maps"
	"slices"
)

// TailAll is [Tail] of several logs: their entries come in the order of their times, and those of one log in its own
// order. Last counts what all of them have together. What a follower waits for comes as it is written.
func TailAll(ctx context.Context, dirs []string, cfg TailConfig) iter.Seq2[Entry, error] {
	if len(dirs) == 1 {
		return Tail(ctx, dirs[0], cfg)
	}
	return func(yield func(Entry, error) bool) {
		next := map[string]uint64{}
		for _, dir := range dirs {
			next[dir] = cfg.From
		}
		if !written(ctx, next, cfg, yield) || !cfg.Follow {
			return
		}
		for e, err := range coming(ctx, next, cfg) {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// written yields what there is, leaves in next what is the next entry of each log, and reports whether more is wanted.
func written(ctx context.Context, next map[string]uint64, cfg TailConfig, yield func(Entry, error) bool) bool {
	cfg.Follow = false
	var kept []Entry // the last ones are known when all were seen
	for e, err := range merged(ctx, slices.Sorted(maps.Keys(next)), cfg) {
		if err != nil {
			yield(e, err)
			return false
		}
		next[e.Dir] = e.Seq + 1
		if cfg.Last > 0 {
			kept = append(kept, e)
		} else if !yield(e, nil) {
			return false
		}
	}
	for _, e := range kept[max(len(kept)-cfg.Last, 0):] {
		if !yield(e, nil) {
			return false
		}
	}
	return true
}

// head is the next entry of one log.
type head struct {
	entry Entry
	err   error
	pull  func() (Entry, error, bool)
}

// merged yields the oldest of all heads until there are none, or one is an error.
func merged(ctx context.Context, dirs []string, cfg TailConfig) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var heads []*head
		for _, dir := range dirs {
			pull, stop := iter.Pull2(Tail(ctx, dir, cfg))
			defer stop()
			heads = append(heads, &head{pull: pull})
		}
		waiting := heads
		for {
			for _, h := range waiting {
				var ok bool
				if h.entry, h.err, ok = h.pull(); !ok {
					heads = slices.DeleteFunc(slices.Clone(heads), func(of *head) bool { return of == h })
				}
			}
			if len(heads) == 0 {
				return
			}
			oldest := slices.MinFunc(heads, func(a, b *head) int { return a.entry.Time.Compare(b.entry.Time) }) // an error has the zero time
			if !yield(oldest.entry, oldest.err) || oldest.err != nil {
				return
			}
			waiting = []*head{oldest}
		}
	}
}

// coming follows all logs until ctx ends.
func coming(ctx context.Context, next map[string]uint64, cfg TailConfig) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		heard := make(chan head)
		for dir, from := range next {
			one := cfg
			one.From, one.Last = from, 0
			go func() {
				for e, err := range Tail(ctx, dir, one) {
					select {
					case heard <- head{entry: e, err: err}:
					case <-ctx.Done():
						return
					}
				}
			}()
		}
		for {
			select {
			case h := <-heard:
				if !yield(h.entry, h.err) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
