package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/intercom-broker/intercom/broker/kv"
)

// keyLife is how long a key of ours lives when it could not be removed.
const keyLife = 5 * time.Second

// keyPrefix is below where gateways keep theirs, so that an access list that lets them in lets this in.
const keyPrefix = "ic:doctor:"

// redis does what gateways do there, and tries what they should not be able to.
func (g *gatewayExam) redis(ctx context.Context, r rows) {
	if g.Gateway.Sessions.Redis == nil {
		r.skip("sessions are in the gateway's memory: a restart logs everybody out, and there can be no second gateway")
		return
	}
	cfg, options, err := g.examiner().Redis(ctx)
	if err != nil {
		r.fail(key("sessions.redis.password"), "put the password where the reference says", "%s", why(err))
		return
	}
	if cfg.TLS == nil && !allLoopback(cfg.Addresses) {
		r.warn(key("sessions.redis"), "add tls: { ca: … }", "Redis is reached without TLS: its password travels in the clear")
	}
	heard := make(chan []string, 64)
	options.Track, options.Changed = keyPrefix, func(keys []string) {
		select {
		case heard <- keys:
		default:
		}
	}
	client, err := kv.Open(cfg, options)
	if err != nil {
		g.redisRefused(r, err)
		return
	}
	defer client.Close()
	if g.redisWorks(ctx, r, client, heard) {
		redisGuarded(ctx, r, client)
		redisKeeps(ctx, r, client)
	}
}

// redisWorks writes a key, reads it, hears of its change, and removes it by a script.
func (g *gatewayExam) redisWorks(ctx context.Context, r rows, c *kv.Client, heard <-chan []string) bool {
	name := keyPrefix + "{" + rand.Text() + "}"
	set := func(value string) error {
		_, err := c.Do(ctx, c.B().Set().Key(name).Value(value).Px(keyLife).Build())
		return err
	}
	err := set("1")
	if err == nil {
		_, err = c.Do(ctx, c.B().Get().Key(name).Build())
	}
	if err == nil {
		err = set("2")
	}
	if err == nil {
		err = await(ctx, heard, name)
	}
	_, removed := c.Run(ctx, kv.NewScript(`return redis.call('DEL', KEYS[1])`), []string{name}, nil)
	if err = errors.Join(err, removed); err != nil {
		g.redisRefused(r, err)
		return false
	}
	who := "its default user"
	if got, err := c.Do(ctx, c.B().AclWhoami().Build()); err == nil {
		if name, _ := got.ToString(); name != "" {
			who = "the user " + name
		}
	}
	r.ok("we are %s: a key was written, heard of, and removed by a script", who)
	g.redisTime(ctx, c)
	return true
}

var errUnheard = errors.New("a change was not heard of: client tracking does not work")

// await waits until the change is heard of.
func await(ctx context.Context, heard <-chan []string, name string) error {
	for {
		select {
		case keys := <-heard:
			for _, k := range keys {
				if k == name {
					return nil
				}
			}
		case <-ctx.Done():
			return errUnheard
		}
	}
}

// redisTime notes its clock: TIME answers seconds and microseconds.
func (g *gatewayExam) redisTime(ctx context.Context, c *kv.Client) {
	asked := time.Now()
	got, err := c.Do(ctx, c.B().Time().Build())
	if err != nil {
		return // an access list may not let us
	}
	parts, err := got.AsStrSlice()
	if err != nil || len(parts) != 2 {
		return
	}
	if seconds, err := strconv.ParseInt(parts[0], 10, 64); err == nil {
		g.clocks.add("Redis", time.Unix(seconds, 0).Add(time.Second/2), asked, time.Now())
	}
}

func allLoopback(addresses []string) bool {
	for _, a := range addresses {
		if host, _, err := net.SplitHostPort(a); err != nil || !loopback(host) {
			return false
		}
	}
	return true
}
