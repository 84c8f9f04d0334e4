package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/patience"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// world is what a sidecar finds on its machine: a Workload API, a broker, a service.
type world struct {
	intercomv1.UnimplementedTokenExchangeServer
	intercomv1.UnimplementedSidecarServer

	dir      string
	socket   string // the Workload API, as unix://…
	mesh     string
	brokerID string
	upstream string
	minted   atomic.Int64
	denied   atomic.Bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	d, err := embedded.New(embedded.Config{})
	must(t, err)
	dir, err := os.MkdirTemp("", "sc") // t.TempDir is too long for a socket
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{dir: dir, brokerID: d.ID("/broker").String()}
	path := filepath.Join(dir, "api.sock")
	w.socket = "unix://" + path
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() { _ = d.Serve(ctx, path, d.ID("/orders")) }()
	w.serveBroker(ctx, t, d)
	up := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, r.Header.Get("Authorization"), r.URL.Path)
	}))
	t.Cleanup(up.Close)
	w.upstream = up.URL
	return w
}

func (w *world) serveBroker(ctx context.Context, t *testing.T, d *embedded.Domain) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.mesh = l.Addr().String()
	src := d.Source(d.ID("/broker"))
	cfg := mtls.Config{TLS: mtls.Server(src, src, mtls.AllowDomains(d.Name()), "h2"), Grace: time.Millisecond}
	go func() {
		_ = mtls.ServeGRPC(ctx, l, cfg, func(opts ...grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(opts...)
			intercomv1.RegisterTokenExchangeServer(s, w)
			intercomv1.RegisterSidecarServer(s, w)
			return s
		})
	}()
}

// Exchange implements the broker's door.
func (w *world) Exchange(_ context.Context, r *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	if w.denied.Load() {
		return nil, fault.Status(fault.WithDecision(fault.New(fault.Denied, "", "policy does not allow it"), "d-9")).Err()
	}
	w.minted.Add(1)
	return &intercomv1.ExchangeResponse{
		AccessToken: "t-" + r.GetAudience()[0], Bind: r.GetBind(), ExpiresAt: timestamppb.New(time.Now().Add(5 * time.Minute)),
		Provenance: &intercomv1.Provenance{DecisionId: "d-1"},
	}, nil
}

// WatchServices implements the broker's door.
func (w *world) WatchServices(_ *intercomv1.WatchServicesRequest, s grpc.ServerStreamingServer[intercomv1.WatchServicesResponse]) error {
	err := s.Send(&intercomv1.WatchServicesResponse{Revision: "1", Services: []*intercomv1.Service{{
		Name: "inventory", Mode: intercomv1.Mode_MODE_TOKEN, Url: w.upstream, Audience: "inventory", Bind: intercomv1.Bind_BIND_NONE,
		Dial: []string{"127.0.0.0/8"}, Stale: durationpb.New(time.Minute),
	}}})
	if err == nil {
		<-s.Context().Done()
	}
	return err
}

// config writes a configuration file; more is appended to it.
func (w *world) config(t *testing.T, more string) (file string) {
	t.Helper()
	file = filepath.Join(w.dir, "sidecar.yaml")
	text := fmt.Sprintf("version: 1\nidentity: { socket: %q }\nbrokers:\n  id: %s\n  mesh: [%s]\n%s", w.socket, w.brokerID, w.mesh, more)
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(body)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}
