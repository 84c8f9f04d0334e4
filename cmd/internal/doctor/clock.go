package doctor

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// How far clocks may be apart: tokens are believed for 30 s beyond their times (contract 1 of the listeners).
const (
	skewWarn = 30 * time.Second
	skewFail = time.Minute
)

// clocks gathers what others' clocks said, on the way of other questions.
type clocks struct {
	now func() time.Time

	mu     sync.Mutex
	seen   []clock
	wanted []string // whose clocks should be among them
}

// clock is somebody else's: how far it is before ours.
type clock struct {
	whose string
	ahead time.Duration
	// hearsay may be of a proxy's before him.
	hearsay bool
}

// add notes what somebody's clock said in answer to a question, the first time.
func (c *clocks) add(whose string, said, asked, came time.Time) {
	c.note(clock{whose, said.Sub(c.middle(asked, came)), false})
}

// middle is our time between a question and its answer.
func (c *clocks) middle(asked, came time.Time) time.Time {
	return asked.Add(came.Sub(asked) / 2).Add(time.Until(c.now()))
}

func (c *clocks) note(heard clock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch i := slices.IndexFunc(c.seen, func(known clock) bool { return known.whose == heard.whose }); {
	case i < 0:
		c.seen = append(c.seen, heard)
	case c.seen[i].hearsay && !heard.hearsay:
		c.seen[i] = heard
	}
}

// want has it said when nothing was heard of somebody's clock.
func (c *clocks) want(whose string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = append(c.wanted, whose)
}

// heard reports whether somebody's clock is among those seen.
func (c *clocks) heard(whose string) bool {
	return slices.ContainsFunc(c.seen, func(known clock) bool { return known.whose == whose })
}

// date notes the Date of an answer, where it has one (RFC 9110, section 6.6.1); it is of whole seconds, cut, and a
// proxy may have written its own.
func (c *clocks) date(whose string, a answer) {
	if said, err := http.ParseTime(a.header.Get("Date")); err == nil {
		c.note(clock{whose, said.Add(time.Second / 2).Sub(c.middle(a.asked, a.came)), true})
	}
}

// judge says whose clock is wrong: ours, where all the others agree that it is.
func (c *clocks) judge(r rows) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, whose := range c.wanted {
		if !c.heard(whose) {
			r.of(whose).skip("it does not say what time it is; of a user's token (--user-token FILE) its iat is looked at")
		}
	}
	if len(c.seen) == 0 {
		r.skip("nobody who was asked said what time it is")
		return
	}
	var names []string
	for _, s := range c.seen {
		names = append(names, s.whose)
	}
	if ahead, agreed := c.agreed(); agreed && ahead.Abs() > skewWarn {
		who := "all of " + strings.Join(names, ", ")
		cure := "set this machine's clock"
		if len(names) == 1 {
			who, cure = names[0], "set the clock of this machine, or of "+names[0]+": with nobody else to compare, it cannot be said which is wrong"
		}
		c.off(r, ahead, cure, "this machine is %s %s", apart(-ahead), who)
		return
	}
	bad := false
	for _, s := range c.seen {
		if s.ahead.Abs() > skewWarn {
			bad = true
			c.off(r, s.ahead, "set the clock of "+s.whose, "%s is %s this machine and the others", s.whose, apart(s.ahead))
		}
	}
	if !bad {
		r.ok("within %s of %s", skewWarn, strings.Join(names, ", "))
	}
}

// agreed is by how much all are before us, and whether they say the same.
func (c *clocks) agreed() (ahead time.Duration, ok bool) {
	least, most := c.seen[0].ahead, c.seen[0].ahead
	for _, s := range c.seen {
		least, most = min(least, s.ahead), max(most, s.ahead)
	}
	return (least + most) / 2, most-least < skewWarn/2
}

func (c *clocks) off(r rows, by time.Duration, cure, seen string, args ...any) {
	if by.Abs() > skewFail {
		r.fail(place{}, cure, seen, args...)
		return
	}
	r.warn(place{}, cure, seen, args...)
}

func apart(ahead time.Duration) string {
	if ahead < 0 {
		return fmt.Sprintf("%s behind", round(-ahead))
	}
	return fmt.Sprintf("%s ahead of", round(ahead))
}
