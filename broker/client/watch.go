package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// lastWatchPause bounds the wait before a stream is opened again.
const lastWatchPause = 5 * time.Second

// WatchServices yields the full list of services, at once and at every change. A stream that breaks is
// yielded as an error and opened again with backoff and jitter; when the SVID changes it is opened anew
// without a word. The sequence ends with ctx, or when the loop over it does.
func (c *Client) WatchServices(ctx context.Context) iter.Seq2[*intercomv1.WatchServicesResponse, error] {
	return func(yield func(*intercomv1.WatchServicesResponse, error) bool) {
		for failures := 0; ctx.Err() == nil; {
			conn := c.Conn()
			received, err, stopped := conn.watch(ctx, yield)
			if received {
				failures = 0
			}
			switch {
			case stopped || ctx.Err() != nil:
				return
			case conn.gone():
				continue
			case !yield(nil, err) || !sleep(ctx, watchPause(failures)):
				return
			}
			failures++
		}
	}
}

// watch reads one stream to its end.
func (c *Conn) watch(ctx context.Context, yield func(*intercomv1.WatchServicesResponse, error) bool) (received bool, f *fault.Error, stopped bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The first list is sent at once: a broker that does not is cut off.
	silent := time.AfterFunc(c.client.cfg.timeout(), cancel)
	defer silent.Stop()
	go func() {
		select {
		case <-c.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	stream, err := intercomv1.NewSidecarClient(c.mesh).WatchServices(ctx, &intercomv1.WatchServicesRequest{})
	for err == nil {
		var resp *intercomv1.WatchServicesResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		silent.Stop()
		received = true
		if !yield(resp, nil) {
			return received, nil, true
		}
	}
	if !said(err) && status.Code(err) != codes.Unavailable { // it ended, or was cut off for its silence
		return received, fault.New(fault.Unavailable, "BROKER_UNREACHABLE", "the credential broker sends no list of services").Because(err), false
	}
	return received, c.read(context.WithoutCancel(ctx), err), false
}

func (c *Conn) gone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func watchPause(failures int) time.Duration {
	return min(pause(failures)<<max(0, failures-4), lastWatchPause)
}
