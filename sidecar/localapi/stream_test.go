package localapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// ways are the three that a stream can take: by token without and with mutual TLS, and through egress.
// Each service answers as h does.
func ways(t *testing.T, h http.Handler) (*world, []string) {
	t.Helper()
	w := newWorld(t, setup{egress: h})
	open := httptest.NewUnstartedServer(h)
	open.Config.Protocols = new(http.Protocols)
	open.Config.Protocols.SetHTTP1(true)
	open.Config.Protocols.SetUnencryptedHTTP2(true)
	open.Start()
	t.Cleanup(open.Close)
	w.broker.set(
		tokenService("plain", open.URL, bearer),
		tokenService("mutual", "https://"+w.serveSVID("/mutual", h), bound),
		&intercomv1.Service{Name: "injected", Mode: intercomv1.Mode_MODE_INJECT},
	)
	eventually(t, "the services are known", func() bool {
		_, body := w.get("/nothing/", nil)
		return strings.Contains(body, "SERVICE_UNKNOWN") && strings.Contains(body, "mutual")
	})
	return w, []string{"plain", "mutual", "injected"}
}

func TestServerSentEvents(t *testing.T) {
	next := make(chan struct{})
	w, services := ways(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(rw, "data: %d\n\n", i)
			_ = http.NewResponseController(rw).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}))
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.door+"/"+service+"/events", nil)
			resp, err := http.DefaultTransport.RoundTrip(req)
			must(t, err)
			defer resp.Body.Close()
			lines := bufio.NewScanner(resp.Body)
			for i := range 3 { // each event arrives before the next one is sent
				if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
					t.Fatalf("got %q, %v", lines.Text(), lines.Err())
				}
				lines.Scan()
				next <- struct{}{}
			}
		})
	}
}

func TestWebSocket(t *testing.T) {
	w, services := ways(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, append([]byte("echo "), msg...)) != nil {
				return
			}
		}
	}))
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			c, _, err := websocket.Dial(ctx, "ws://"+w.door+"/"+service+"/ws", &websocket.DialOptions{Subprotocols: []string{"chat"}})
			must(t, err)
			defer c.CloseNow()
			for _, msg := range []string{"one", "two"} {
				must(t, c.Write(ctx, websocket.MessageText, []byte(msg)))
				if _, got, err := c.Read(ctx); string(got) != "echo "+msg {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			if c.Subprotocol() != "chat" {
				t.Errorf("subprotocol %q", c.Subprotocol())
			}
			must(t, c.Close(websocket.StatusNormalClosure, ""))
		})
	}
}

// health is a gRPC service with trailers, a stream, and a refusal.
type health struct {
	healthv1.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, r *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	if r.GetService() == "refused" {
		return nil, status.Error(codes.FailedPrecondition, "100% no: ü")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "end", "x-authority", strings.Join(md[":authority"], ",")))
	return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}, nil
}

func (health) Watch(_ *healthv1.HealthCheckRequest, s grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	for range 3 {
		if err := s.Send(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}); err != nil {
			return err
		}
	}
	return status.Error(codes.Aborted, "over")
}

// dialGRPC reaches a service as a gRPC client does: over HTTP/2 without TLS, by its authority.
func dialGRPC(t *testing.T, w *world, authority string) healthv1.HealthClient {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+w.door, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(authority))
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return healthv1.NewHealthClient(c)
}

func TestGRPC(t *testing.T) {
	srv := grpc.NewServer()
	healthv1.RegisterHealthServer(srv, health{})
	w, services := ways(t, srv)
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			c := dialGRPC(t, w, service)
			var trailer metadata.MD
			if _, err := c.Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.Trailer(&trailer)); err != nil || trailer.Get("x-trailer")[0] != "end" {
				t.Errorf("trailer %v, %v", trailer, err)
			}
			_, err := c.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "refused"})
			if st := status.Convert(err); st.Code() != codes.FailedPrecondition || st.Message() != "100% no: ü" {
				t.Errorf("a refusal of headers alone came as %v", err)
			}
			stream, err := c.Watch(t.Context(), &healthv1.HealthCheckRequest{})
			must(t, err)
			n := 0
			for ; err == nil; n++ {
				_, err = stream.Recv()
			}
			if n != 4 || status.Code(err) != codes.Aborted {
				t.Errorf("%d messages, then %v", n-1, err)
			}
		})
	}
}

// TestGRPCRefusals: what the sidecar itself refuses is a status with details to a gRPC caller.
func TestGRPCRefusals(t *testing.T) {
	w := newWorld(t, setup{}, tokenService("inventory", "http://127.0.0.1:1", bearer))
	w.broker.refuse("inventory", fault.WithDecision(fault.New(fault.Denied, "NOT_YOU", "policy: 100%41 ü no"), "d-31"))
	_, err := dialGRPC(t, w, "inventory").Check(t.Context(), &healthv1.HealthCheckRequest{})
	if f := fault.FromStatus(err); f.Kind != fault.Denied || f.Reason != "NOT_YOU" || f.Decision != "d-31" || f.Message != "policy: 100%41 ü no" {
		t.Errorf("got %+v", f)
	}
	_, err = dialGRPC(t, w, "inventori").Check(t.Context(), &healthv1.HealthCheckRequest{})
	if f := fault.FromStatus(err); !errors.Is(f, fault.NotFound) || !strings.Contains(f.Message, `did you mean "inventory"`) {
		t.Errorf("got %+v", f)
	}
}

// TestUploadIsStreamed: the service answers before the request's body has ended.
func TestUploadIsStreamed(t *testing.T) {
	w, services := ways(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex()
		body := bufio.NewScanner(r.Body)
		for body.Scan() {
			fmt.Fprintf(rw, "got %s\n", body.Text())
			_ = http.NewResponseController(rw).Flush()
		}
	}))
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			pr, pw := net.Pipe()
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.door+"/", pr)
			req.Host = service
			req.Header.Set("Content-Type", "application/grpc") // so that the plain one is spoken to over HTTP/2
			go fmt.Fprintln(pw, "one")
			resp, err := (&http.Transport{Protocols: protocols}).RoundTrip(req)
			must(t, err)
			defer resp.Body.Close()
			answer := bufio.NewScanner(resp.Body)
			for _, line := range []string{"one", "two"} {
				if !answer.Scan() || answer.Text() != "got "+line {
					t.Fatalf("got %q, %v", answer.Text(), answer.Err())
				}
				if line == "one" {
					fmt.Fprintln(pw, "two")
				}
			}
			_ = pw.Close()
		})
	}
}
