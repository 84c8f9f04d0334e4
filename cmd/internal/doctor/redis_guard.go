package doctor

import (
	"context"

	"github.com/intercom-broker/intercom/broker/kv"
)

// redisGuarded finds out whether our user may do what is dangerous, by asking and not by doing (ACL DRYRUN, Redis 7).
// That question is dangerous itself: to be refused is the good answer.
func redisGuarded(ctx context.Context, r rows, c *kv.Client) {
	me := "default"
	if got, err := c.Do(ctx, c.B().AclWhoami().Build()); err == nil {
		me, _ = got.ToString()
	}
	_, err := c.Do(ctx, c.B().Arbitrary("ACL", "DRYRUN", me, "FLUSHALL").Build())
	switch {
	case err == nil:
		r.warn(key("sessions.redis.username"), "make a user of an access list for the gateways: ACL SETUSER gateway on >… ~ic:* &ic:* +@all -@dangerous",
			"the user %s may empty the whole server, and change its settings", me)
	case says(err, "NOPERM"):
		r.ok("the access list keeps what is dangerous from us")
	default:
		r.skip("whether the user may do what is dangerous cannot be seen: %s", why(err))
	}
}

// redisKeeps says whether sessions may vanish: driven out of a full memory, or with a restart.
func redisKeeps(ctx context.Context, r rows, c *kv.Client) {
	settings := map[string]string{}
	for _, name := range []string{"maxmemory-policy", "save", "appendonly"} {
		got, err := c.Do(ctx, c.B().ConfigGet().Parameter(name).Build())
		if err != nil {
			r.skip("its settings are not for our user to see; with an administrator's, look that CONFIG GET maxmemory-policy says noeviction")
			return
		}
		all, _ := got.AsStrMap()
		settings[name] = all[name]
	}
	if policy := settings["maxmemory-policy"]; policy != "noeviction" {
		r.warn(place{}, "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf", "Redis drives keys out when its memory is full (maxmemory-policy %s): users would be logged out", policy)
	}
	if settings["save"] == "" && settings["appendonly"] == "no" {
		r.ok("it keeps nothing on a disk: its restart logs everybody out (save and appendonly in redis.conf)")
	}
}
