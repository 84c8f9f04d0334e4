package svid

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
)

// Pauses between attempts at a Workload API. An agent restarts in a second or two, and nobody else is
// behind its socket.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 2 * time.Second
)

// openSocket connects, starts both watches, and waits for the first SVID.
func (s *Source) openSocket(ctx, watching context.Context) error {
	if err := s.checkSocket(); err != nil {
		return err
	}
	client, err := workloadapi.New(watching, workloadapi.WithAddr(s.cfg.Socket), workloadapi.WithBackoffStrategy(pauses{}),
		workloadapi.WithDialOptions(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: grpcbackoff.Config{BaseDelay: firstPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxPause},
		})))
	if err != nil {
		return fmt.Errorf("opening the Workload API at %s: %w", s.cfg.Socket, err)
	}
	s.close = client.Close
	s.tokens.client = client
	x509, jwt := newWatch(s, whatX509, watching), newWatch(s, whatJWT, watching)
	s.wg.Go(func() { x509.run(func() error { return client.WatchX509Context(watching, x509) }) })
	s.wg.Go(func() { jwt.run(func() error { return client.WatchJWTBundles(watching, jwt) }) })
	return s.awaitFirst(ctx, x509, jwt)
}

func (s *Source) checkSocket() error {
	switch {
	case !strings.HasPrefix(s.cfg.Socket, "unix:/"):
		return fmt.Errorf("socket %q: want a Unix socket, such as unix:///run/spire/agent.sock", s.cfg.Socket)
	case s.cfg.CertFile != "" || s.cfg.KeyFile != "" || len(s.cfg.Bundles) > 0:
		return errors.New("both a socket and files are named: our identity comes from one of them")
	}
	return workloadapi.ValidateAddress(s.cfg.Socket)
}

// awaitFirst waits for an SVID, and then for an answer about JWT bundles, which may be that there are none.
func (s *Source) awaitFirst(ctx context.Context, x509, jwt *watch) error {
	s.cfg.Logger.Info("waiting for an SVID", "socket", s.cfg.Socket, "at_most", s.cfg.Wait)
	limit := time.NewTimer(s.cfg.Wait)
	defer limit.Stop()
	for s.state.Load().svid == nil {
		select {
		case <-x509.heard:
		case <-limit.C:
			return fmt.Errorf("no X.509-SVID from the Workload API at %s within %s: %w (is the agent running, and is there a registration entry for this process?)",
				s.cfg.Socket, s.cfg.Wait, s.lastFailure())
		case <-ctx.Done():
			return fmt.Errorf("waiting for an X.509-SVID from the Workload API at %s: %w", s.cfg.Socket, ctx.Err())
		}
	}
	jwt.forget() // an answer from before we had an identity says nothing
	if jwt.good.Load() {
		return nil
	}
	select {
	case <-jwt.heard:
	case <-limit.C:
	case <-ctx.Done():
	}
	return nil
}

// watch is one of the two streams: go-spiffe's X509ContextWatcher and JWTBundleWatcher.
type watch struct {
	source *Source
	what   string
	heard  chan struct{}   // filled by every answer, good or bad
	good   atomic.Bool     // there was a good one
	closed <-chan struct{} // closed with the Source
}

func newWatch(s *Source, what string, watching context.Context) *watch {
	return &watch{source: s, what: what, heard: make(chan struct{}, 1), closed: watching.Done()}
}

// run watches until the Source is closed. go-spiffe returns for good on Canceled and InvalidArgument,
// which a restarting agent, or a proxy before it, may well answer.
func (w *watch) run(stream func() error) {
	for {
		_ = stream() // the watcher was told
		select {
		case <-time.After(maxPause):
		case <-w.closed:
			return
		}
	}
}

func (w *watch) fail(err error) {
	w.source.failed(w.what, err)
	w.tell()
}

func (w *watch) forget() {
	select {
	case <-w.heard:
	default:
	}
}

func (w *watch) tell() {
	select {
	case w.heard <- struct{}{}:
	default:
	}
}

// OnX509ContextUpdate implements workloadapi.X509ContextWatcher. Of several SVIDs the first is ours, as
// the Workload API has it for those who do not choose (SPIFFE Workload API, section 5.3).
func (w *watch) OnX509ContextUpdate(c *workloadapi.X509Context) {
	s := w.source
	fresh := state{svid: c.DefaultSVID(), x509: c.Bundles}
	if err := s.check(fresh); err != nil {
		w.fail(err)
		return
	}
	if s.swap(func(old state) state { return state{svid: fresh.svid, x509: fresh.x509, jwt: old.jwt} }) {
		s.held()
	}
	s.succeeded(w.what)
	w.tell()
}

// OnX509ContextWatchError implements workloadapi.X509ContextWatcher.
func (w *watch) OnX509ContextWatchError(err error) { w.failUnlessClosed(err) }

// OnJWTBundlesUpdate implements workloadapi.JWTBundleWatcher.
func (w *watch) OnJWTBundlesUpdate(bundles *jwtbundle.Set) {
	for _, bundle := range bundles.Bundles() {
		if err := publicOnly(bundle); err != nil {
			w.fail(err)
			return
		}
	}
	w.source.swap(func(old state) state { return state{svid: old.svid, x509: old.x509, jwt: bundles} })
	w.source.succeeded(w.what)
	w.good.Store(true)
	w.tell()
}

// OnJWTBundlesWatchError implements workloadapi.JWTBundleWatcher.
func (w *watch) OnJWTBundlesWatchError(err error) { w.failUnlessClosed(err) }

func (w *watch) failUnlessClosed(err error) {
	select {
	case <-w.closed:
	default:
		w.fail(err)
	}
}

// pauses is a workloadapi.BackoffStrategy: doubled each time, with jitter, so that the workloads of a node
// do not all come back to a restarted agent in the same moment.
type pauses struct{}

// NewBackoff implements workloadapi.BackoffStrategy.
func (pauses) NewBackoff() workloadapi.Backoff { return &pause{next: firstPause} }

type pause struct{ next time.Duration }

// Next implements workloadapi.Backoff.
func (p *pause) Next() time.Duration {
	now := p.next
	p.next = min(maxPause, 2*p.next)
	return now/2 + rand.N(now) // between half and one and a half
}

// Reset implements workloadapi.Backoff.
func (p *pause) Reset() { p.next = firstPause }
