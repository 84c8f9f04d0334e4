package pep

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/intercom-broker/intercom/broker/fault"
)

// ReasonDenials is the reason of a refusal because the caller was denied too often lately.
const ReasonDenials = "DENIAL_LIMIT"

// Each denial is written, so a caller without any right could fill the disk of the audit log and stop the
// grants of everybody. What is beyond these is refused and not written: the hundreds before it say all
// that there is to say.
const (
	deniedPerSecond = 20
	deniedAtOnce    = 500
	manySubjects    = 4096
)

// Denials bounds how often one subject may be denied. The zero Denials is ready for use; a nil one bounds
// nothing.
type Denials struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

// spend notes one denial of the subject, and returns an error when it has used up all that are written.
func (d *Denials) spend(subject string, now time.Time) error {
	if d == nil || d.of(subject, now).AllowN(now, 1) {
		return nil
	}
	e := fault.New(fault.Overloaded, ReasonDenials, "this caller is denied too often; look at its earlier denials")
	e.RetryAfter = time.Second
	return e
}

func (d *Denials) of(subject string, now time.Time) *rate.Limiter {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.by[subject]
	if l != nil {
		return l
	}
	d.sweep(now)
	if d.by == nil {
		d.by = map[string]*rate.Limiter{}
	}
	l = rate.NewLimiter(deniedPerSecond, deniedAtOnce)
	d.by[subject] = l
	return l
}

// sweep forgets subjects that have all their denials again, when there are many.
func (d *Denials) sweep(now time.Time) {
	if len(d.by) < manySubjects {
		return
	}
	for subject, l := range d.by {
		if l.TokensAt(now) >= deniedAtOnce {
			delete(d.by, subject)
		}
	}
}
