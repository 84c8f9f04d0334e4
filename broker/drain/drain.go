// Package drain serves HTTP until it is told to end, and then loses nobody.
//
// http.Server.Shutdown alone loses some: it closes the door first, and then drops each request that it finds read and not
// begun. To whoever connected a moment before, or is shaking hands, that is a connection that breaks for no reason, and
// a proxy cannot know whether its request was heard. Here they are answered first.
package drain

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Serve serves srv until ctx ends, and then for at most grace what is in flight and whoever has connected. It returns
// nil then, or before it what ended the server by itself.
//
// Requests are accepted from l, which stands on bound, or is bound itself. Bound is closed first: l ends when it has
// handed out all that bound let in, those who are shaking hands among them. srv is changed: its ConnState is wrapped.
func Serve(ctx context.Context, srv *http.Server, bound, l net.Listener, grace time.Duration) error {
	fresh := follow(srv)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	_ = bound.Close()
	fresh.wait(within, ended)
	if err := srv.Shutdown(within); err != nil {
		return srv.Close()
	}
	return nil
}
