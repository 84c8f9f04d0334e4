package doctor

import (
	"context"
	"time"
)

// check is one question.
type check struct {
	name string
	file file
	ask  func(context.Context, rows)
}

// late is how much longer than its deadline a check may take to say what it saw.
const late = 500 * time.Millisecond

// run asks all side by side, and returns the answers in the order of the questions. One that does not come back is
// given up: the others' answers are not kept waiting.
func run(ctx context.Context, timeout time.Duration, checks []check) (all []Row) {
	answers := make([]chan []Row, len(checks))
	for i, c := range checks {
		answers[i] = make(chan []Row, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			var list []Row
			c.ask(ctx, rows{check: c.name, file: c.file, list: &list})
			answers[i] <- list
		}()
	}
	limit, stop := context.WithTimeout(ctx, timeout+late)
	defer stop()
	for i, c := range checks {
		select {
		case list := <-answers[i]:
			all = append(all, list...)
		case <-limit.Done():
			all = append(all, c.givenUp(answers[i], timeout)...)
		}
	}
	return all
}

// givenUp is the answer that came at the last moment, or that none did.
func (c check) givenUp(answer <-chan []Row, timeout time.Duration) (list []Row) {
	select {
	case list = <-answer:
	default:
		rows{check: c.name, file: c.file, list: &list}.fail(place{}, "", "no answer within %s", timeout)
	}
	return list
}
