package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/fault"
)

// The first wait between two attempts, which doubles, and its bound.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// call makes attempts until one succeeds, is refused, or the time is over. All calls may be repeated: a
// second token or a second lease harms nobody.
func (c *Conn) call(ctx context.Context, method string, do func(context.Context) error) (err error) {
	defer func() { c.client.cfg.Metrics.called(method, err) }()
	if f := c.ended(); f != nil {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, c.client.cfg.timeout())
	defer cancel()
	start := time.Now()
	for attempt := 0; ; attempt++ {
		f := c.attempt(ctx, do)
		if f == nil {
			return nil
		}
		wait := max(pause(attempt), f.RetryAfter)
		if !again(ctx, f) || time.Since(start)+wait > c.client.cfg.patience() || !sleep(ctx, wait) {
			return f
		}
	}
}

// attempt gives one broker half of the time: if it is cut off, the other half is for another one.
func (c *Conn) attempt(ctx context.Context, do func(context.Context) error) *fault.Error {
	once, cancel := context.WithTimeout(ctx, c.client.cfg.timeout()/2)
	defer cancel()
	err := do(once)
	if err == nil {
		return nil
	}
	return c.read(ctx, err)
}

// read turns what gRPC returned into what was meant.
func (c *Conn) read(ctx context.Context, err error) *fault.Error {
	switch code := status.Code(err); {
	case errors.Is(ctx.Err(), context.Canceled):
		return fault.New(fault.Timeout, "", "the caller did not wait for the credential broker").Because(ctx.Err())
	case said(err):
		return fault.FromStatus(err)
	case code == codes.Unavailable, code == codes.DeadlineExceeded && c.mesh.GetState() != connectivity.Ready:
		return c.client.unreachable(err)
	case code == codes.DeadlineExceeded:
		return fault.New(fault.Timeout, "BROKER_SLOW", "the credential broker did not answer in time").Because(err)
	default:
		return fault.FromStatus(err)
	}
}

// said reports whether a broker, and not gRPC itself, gave the answer.
func said(err error) bool {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == fault.Domain {
			return true
		}
	}
	return false
}

// unreachable says where we looked for a broker, and who else was there.
func (c *Client) unreachable(cause error) *fault.Error {
	where := strings.Join(c.cfg.Addresses, ", ")
	if id := c.impostor.Load(); id != nil {
		return fault.Newf(fault.Unavailable, "BROKER_UNTRUSTED",
			"%s answers at %s and is not one of the credential brokers that are trusted here: check the brokers' SPIFFE IDs in the configuration", *id, where).Because(cause)
	}
	return fault.Newf(fault.Unavailable, "BROKER_UNREACHABLE",
		"no credential broker answers at %s: check that it runs, and that this is its mesh listener", where).Because(cause)
}

// again reports whether another attempt may go better.
func again(ctx context.Context, f *fault.Error) bool {
	return ctx.Err() == nil && (f.Kind == fault.Unavailable || f.Kind == fault.Timeout)
}

// pause is the wait after an attempt: doubling, and anywhere in its upper half.
func pause(attempt int) time.Duration {
	wait := lastPause
	if attempt < 5 {
		wait = min(firstPause<<attempt, lastPause)
	}
	return wait/2 + rand.N(wait/2)
}

// sleep reports whether the whole wait went by.
func sleep(ctx context.Context, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
