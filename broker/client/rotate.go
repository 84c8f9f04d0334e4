package client

import (
	"bytes"
	"context"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Run follows the SVID until ctx ends. Before the connections of a new SVID are used, prepare is called
// with them; nil means that there is nothing to prepare. While it fails, or no broker takes a connection
// with the new SVID, the former one stays in use, until a fifth of its life is left.
func (c *Client) Run(ctx context.Context, prepare func(ctx context.Context, next *Conn) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)() // Close ends it too
	for failures := 0; ; {
		updated := c.cfg.Source.Updated()
		if c.follow(ctx, prepare) {
			failures = 0
			select {
			case <-updated:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		if !sleep(ctx, watchPause(failures)) {
			return nil
		}
		failures++
	}
}

// follow puts the newest SVID in use, and reports whether it is.
func (c *Client) follow(ctx context.Context, prepare func(context.Context, *Conn) error) bool {
	svid, err := c.cfg.Source.GetX509SVID()
	if err != nil {
		c.cfg.logger().WarnContext(ctx, "no SVID; the former one stays in use", "error", err)
		return false
	}
	former := c.Conn()
	if same(svid, former.svid) {
		return true
	}
	next, err := c.dial(svid)
	if err != nil {
		c.cfg.logger().ErrorContext(ctx, "cannot dial with the new SVID", "error", err)
		return false
	}
	err = next.prepare(ctx, prepare)
	c.cfg.Metrics.rotated(err)
	if err != nil && (former.hasTime() || ctx.Err() != nil) {
		c.cfg.logger().WarnContext(ctx, "the new SVID is not in use yet", "error", err, "former_not_after", former.NotAfter())
		_ = next.close()
		return false
	}
	c.current.Store(next)
	former.retire()
	if err != nil { // the former one has no time left to wait for better
		c.cfg.logger().WarnContext(ctx, "a new SVID is in use although not all is ready", "id", svid.ID.String(), "not_after", next.NotAfter(), "error", err)
		return true
	}
	c.cfg.logger().InfoContext(ctx, "a new SVID is in use", "id", svid.ID.String(), "not_after", next.NotAfter())
	return true
}

// prepare waits until c can be used in place of the former Conn.
func (c *Conn) prepare(ctx context.Context, prepare func(context.Context, *Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.client.cfg.timeout())
	defer cancel()
	if err := c.ready(ctx); err != nil || prepare == nil {
		return err
	}
	return prepare(ctx, c)
}

// hasTime reports whether more than a fifth is left of what there was of the SVID's life when it was first
// used. Its NotBefore does not count: it may lie long before the SVID was made, for clocks that are slow.
func (c *Conn) hasTime() bool {
	return time.Until(c.NotAfter()) > c.NotAfter().Sub(c.since)/5
}

func same(a, b *x509svid.SVID) bool {
	return a == b || bytes.Equal(a.Certificates[0].Raw, b.Certificates[0].Raw)
}
