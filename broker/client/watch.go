package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// lastWatchPause bounds the wait before a stream is opened again.
const lastWatchPause = 5 * time.Second

// WatchServices yields the full list of services, at once and at every change, as [watch] does.
func (c *Client) WatchServices(ctx context.Context) iter.Seq2[*intercomv1.WatchServicesResponse, error] {
	return watch(ctx, c, func(ctx context.Context, mesh grpc.ClientConnInterface) (grpc.ServerStreamingClient[intercomv1.WatchServicesResponse], error) {
		return intercomv1.NewSidecarClient(mesh).WatchServices(ctx, &intercomv1.WatchServicesRequest{})
	})
}

// WatchPolicy yields the policy in force, at once and at every change, as [watch] does. have returns the
// revision that the caller holds, which a broker need not send again.
func (c *Client) WatchPolicy(ctx context.Context, have func() string) iter.Seq2[*intercomv1.WatchPolicyResponse, error] {
	return watch(ctx, c, func(ctx context.Context, mesh grpc.ClientConnInterface) (grpc.ServerStreamingClient[intercomv1.WatchPolicyResponse], error) {
		large := grpc.MaxCallRecvMsgSize(maxPolicy)
		return intercomv1.NewDecisionsClient(mesh).WatchPolicy(ctx, &intercomv1.WatchPolicyRequest{Revision: have()}, large)
	})
}

// maxPolicy is above the largest policy that a broker loads: 64 MiB of files, and their names.
const maxPolicy = 68 << 20

// opener opens a stream on a connection.
type opener[T any] func(context.Context, grpc.ClientConnInterface) (grpc.ServerStreamingClient[T], error)

// watch yields what a broker sends. A stream that breaks is yielded as an error and opened again with
// backoff and jitter; when the SVID changes it is opened anew without a word. The sequence ends with ctx, or
// when the loop over it does.
func watch[T any](ctx context.Context, c *Client, open opener[T]) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for failures := 0; ctx.Err() == nil; {
			conn := c.Conn()
			received, err, stopped := read(ctx, conn, open, yield)
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

// read reads one stream to its end.
func read[T any](ctx context.Context, c *Conn, open opener[T], yield func(*T, error) bool) (received bool, f *fault.Error, stopped bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The first message is sent at once: a broker that does not is cut off.
	silent := time.AfterFunc(c.client.cfg.timeout(), cancel)
	defer silent.Stop()
	go func() {
		select {
		case <-c.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	stream, err := open(ctx, c.mesh)
	for err == nil {
		var resp *T
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
		return received, fault.New(fault.Unavailable, "BROKER_UNREACHABLE", "the credential broker does not say what is to be watched").Because(err), false
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
