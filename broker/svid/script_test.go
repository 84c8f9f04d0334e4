package svid_test

import (
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/embedded"
)

// scripted is a Workload API that answers what a test tells it to, for what no sane one does.
type scripted struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	mu     sync.Mutex
	denied error
	last   *workload.X509SVIDResponse
	steps  chan step
}

// step is one answer: a message, or the end of the stream with Canceled.
type step struct {
	resp *workload.X509SVIDResponse
	err  error
}

func script(t *testing.T) (address string, s *scripted) {
	t.Helper()
	path := filepath.Join(shortDir(t), "api.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s = &scripted{steps: make(chan step)}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, s)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return "unix://" + path, s
}

func (s *scripted) deny(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = err
}

// give makes resp the answer, to those who ask from now on and to the one who has asked.
func (s *scripted) give(resp *workload.X509SVIDResponse) {
	s.mu.Lock()
	first := s.last == nil
	s.last = resp
	s.mu.Unlock()
	if !first {
		s.do(step{resp: resp})
	}
}

func (s *scripted) do(next step) { s.steps <- next }

func (s *scripted) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	s.mu.Lock()
	last, denied := s.last, s.denied
	s.mu.Unlock()
	if denied != nil {
		return status.Error(codes.PermissionDenied, denied.Error())
	}
	if err := stream.Send(last); err != nil {
		return err
	}
	for {
		select {
		case next := <-s.steps:
			if next.err != nil {
				return status.Error(codes.Canceled, next.err.Error())
			}
			if err := stream.Send(next.resp); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// answer has an SVID that signer made, with the bundle of vouching.
func answer(t *testing.T, signer, vouching *embedded.Domain, path string) *workload.X509SVIDResponse {
	t.Helper()
	own, err := signer.X509SVID(signer.ID(path))
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := own.MarshalRaw()
	if err != nil {
		t.Fatal(err)
	}
	var bundle []byte
	for _, cert := range vouching.Bundle().X509Authorities() {
		bundle = append(bundle, cert.Raw...)
	}
	return &workload.X509SVIDResponse{Svids: []*workload.X509SVID{{SpiffeId: own.ID.String(), X509Svid: chain, X509SvidKey: key, Bundle: bundle}}}
}

func garbage(t *testing.T, d *embedded.Domain) *workload.X509SVIDResponse {
	t.Helper()
	resp := answer(t, d, d, "/broker")
	resp.Svids[0].X509SvidKey = resp.Svids[0].X509SvidKey[:20]
	return resp
}

// clock is the real one, moved.
type clock struct {
	mu sync.Mutex
	by time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *clock) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = by
}
