package doctor

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestJudge: whose clock is wrong is said by who agrees with whom.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		seen   map[string]time.Duration
		status Status
		says   string
	}{
		"nobody":                {nil, Skip, "nobody"},
		"all well":              {map[string]time.Duration{"Redis": 2 * time.Second, "Vault": -20 * time.Second}, OK, "within 30s"},
		"we are behind":         {map[string]time.Duration{"Redis": 90 * time.Second, "Vault": 91 * time.Second}, Fail, "this machine is 1m31s behind all of"},
		"we are a little ahead": {map[string]time.Duration{"Redis": -41 * time.Second, "Vault": -41 * time.Second}, Warn, "this machine is 41s ahead of all of"},
		"one is off":            {map[string]time.Duration{"Redis": 0, "Vault": 45 * time.Second}, Warn, "Vault is 45s ahead of this machine"},
		"one is far off":        {map[string]time.Duration{"Redis": 0, "Vault": -2 * time.Minute}, Fail, "Vault is 2m0s behind this machine"},
		"only one to ask":       {map[string]time.Duration{"Vault": 2 * time.Minute}, Fail, "this machine is 2m0s behind Vault"},
	} {
		clocks := &clocks{now: time.Now}
		for whose, ahead := range c.seen {
			now := time.Now()
			clocks.add(whose, now.Add(ahead), now, now)
		}
		var list []Row
		clocks.judge(rows{list: &list})
		if len(list) != 1 || list[0].Status != c.status || !strings.Contains(list[0].Seen, c.says) {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// TestClocksCompareMiddles: an answer that took long says what time it was in the middle of that.
func TestClocksCompareMiddles(t *testing.T) {
	clocks := &clocks{now: time.Now}
	now := time.Now()
	clocks.add("Vault", now.Add(-20*time.Second), now.Add(-40*time.Second), now)
	if got := clocks.seen[0].ahead.Round(time.Second); got != 0 {
		t.Errorf("ahead by %s", got)
	}
}

// TestClocksUnseen: a clock that was to be compared and was not seen is said to be unseen, whatever the others say.
func TestClocksUnseen(t *testing.T) {
	clocks, now := &clocks{now: time.Now}, time.Now()
	clocks.want("the provider")
	clocks.add("Redis", now, now, now)
	var list []Row
	clocks.judge(rows{list: &list})
	if len(list) != 2 || list[0].Status != Skip || list[0].About != "the provider" || !strings.Contains(list[0].Seen, "--user-token") || list[1].Status != OK {
		t.Errorf("%+v", list)
	}
}

// TestClocksBelieveWhoSigns: the Date of an answer may be of a proxy's, so what the peer signs himself counts.
func TestClocksBelieveWhoSigns(t *testing.T) {
	now := time.Now()
	date := answer{asked: now, came: now, header: http.Header{"Date": {now.UTC().Format(http.TimeFormat)}}}
	for name, tell := range map[string]func(*clocks){
		"before": func(c *clocks) { c.date("it", date); c.add("it", now.Add(time.Hour), now, now) },
		"after":  func(c *clocks) { c.add("it", now.Add(time.Hour), now, now); c.date("it", date) },
	} {
		clocks := &clocks{now: time.Now}
		if tell(clocks); len(clocks.seen) != 1 || clocks.seen[0].ahead.Round(time.Hour) != time.Hour {
			t.Errorf("%s: %+v", name, clocks.seen)
		}
	}
}
