package doctor

import (
	"context"
	"strings"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
)

// sealingKeys reads them, and says how many there are, and what is sealed with them.
func (g *gatewayExam) sealingKeys(ctx context.Context, r rows) {
	if g.Gateway.Sessions.Redis == nil {
		r.skip("sessions in memory are not sealed")
		return
	}
	keys, err := g.examiner().SealingKeys(ctx)
	if err != nil {
		r.fail(key("sessions.keys"), "put the keys where the reference says, one a line: openssl rand -base64 32", "%s", strings.TrimPrefix(why(err), "sessions.keys: "))
		return
	}
	r.ok("%s of 32 bytes; the first seals, all open", count(len(keys), "key", "keys"))
	g.sealed(ctx, r, keys)
}

// sealed says which keys the sessions in Redis need. That Redis cannot be asked is its own check's matter.
func (g *gatewayExam) sealed(ctx context.Context, r rows, keys []secret.Value) {
	ring, err := session.NewRing(keys...)
	if err != nil {
		r.fail(key("sessions.keys"), "put a key there", "%s", why(err))
		return
	}
	cfg, options, err := g.examiner().Redis(ctx)
	if err != nil {
		return
	}
	c, err := kv.Open(cfg, options)
	if err != nil {
		return
	}
	defer c.Close()
	all, older, lost := 0, 0, 0
	for _, head := range sessionHeads(ctx, c) {
		switch nth, ok := ring.SealedBy(head); {
		case !ok:
			continue
		case nth < 0:
			lost++
		case nth > 0:
			older++
		}
		all++
	}
	switch {
	case lost > 0:
		r.warn(key("sessions.keys"), "put the key that sealed them back, as the last line, on every gateway; else their users log in anew",
			"sealed with none of them: %d of %s in Redis; the gateway takes their users for strangers", lost, count(all, "session", "sessions"))
	case older > 0:
		r.ok("sealed with an older key: %d of %s in Redis; it is still needed", older, count(all, "session", "sessions"))
	case all > 0 && len(keys) > 1:
		r.ok("sealed with the first: all of %s in Redis; the others may go", count(all, "session", "sessions"))
	}
}

// sampled is how many sessions are looked at, and headBytes what of each: more than its head, which is in the clear.
const (
	sampled   = 1000
	headBytes = 64
)

// sessionHeads reads the heads of some sessions. On a cluster they are those of one node.
func sessionHeads(ctx context.Context, c *kv.Client) (heads [][]byte) {
	for cursor := uint64(0); len(heads) < sampled; {
		got, err := c.Do(ctx, c.B().Scan().Cursor(cursor).Match("ic:s:*").Count(sampled).Build())
		if err != nil {
			return heads
		}
		page, err := got.AsScanEntry()
		if err != nil {
			return heads
		}
		heads = append(heads, headsOf(ctx, c, page.Elements)...)
		if cursor = page.Cursor; cursor == 0 {
			return heads
		}
	}
	return heads
}

func headsOf(ctx context.Context, c *kv.Client, names []string) (heads [][]byte) {
	for _, name := range names {
		got, err := c.Do(ctx, c.B().Getrange().Key(name).Start(0).End(headBytes-1).Build())
		if err != nil {
			return heads
		}
		if head, err := got.AsBytes(); err == nil {
			heads = append(heads, head)
		}
	}
	return heads
}
