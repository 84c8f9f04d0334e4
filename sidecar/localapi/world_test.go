package localapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/patience"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
	"github.com/intercom-broker/intercom/sidecar/localapi"
)

// world is a trust domain with a small broker, whose tokens are real, and a door to it.
type world struct {
	t      testing.TB
	domain *embedded.Domain
	broker *smallBroker
	client *client.Client
	api    *localapi.API
	door   string // host:port
}

// smallBroker mints for everybody whom the test does not deny.
type smallBroker struct {
	intercomv1.UnimplementedTokenExchangeServer
	intercomv1.UnimplementedCredentialsServer
	intercomv1.UnimplementedSidecarServer

	key    *ecdsa.PrivateKey
	life   time.Duration
	minted atomic.Int64
	leased atomic.Int64

	mu       sync.Mutex
	deny     map[string]error
	misbind  bool                            // answers with the other binding
	edit     func(*intercomv1.LeaseResponse) // nil: as it is
	services []*intercomv1.Service
	changed  chan struct{}
	mesh     *plug
	egress   string
}

// Exchange mints a token, bound to the caller's certificate when that is asked for.
func (b *smallBroker) Exchange(ctx context.Context, r *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.minted.Add(1)
	if err := b.deny[r.GetAudience()[0]]; err != nil {
		return nil, fault.Status(err).Err()
	}
	expires := time.Now().Add(b.life)
	claims := jwt.MapClaims{"aud": r.GetAudience()[0], "scope": strings.Join(r.GetScope(), " "), "exp": expires.Unix(), "n": n}
	if r.GetBind() == intercomv1.Bind_BIND_X5T_S256 {
		p, _ := peer.FromContext(ctx)
		_, cert, err := mtls.Peer(p.AuthInfo.(credentials.TLSInfo).State)
		if err != nil {
			return nil, err
		}
		claims["cnf"] = map[string]string{"x5t#S256": mtls.Thumbprint(cert)}
	}
	answer := r.GetBind()
	if b.misbind {
		answer = intercomv1.Bind_BIND_X5T_S256 + intercomv1.Bind_BIND_NONE - answer
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(b.key)
	return &intercomv1.ExchangeResponse{
		AccessToken: signed, ExpiresAt: timestamppb.New(expires), Bind: answer, Scope: r.GetScope(), TokenType: "Bearer",
		Provenance: &intercomv1.Provenance{DecisionId: fmt.Sprintf("d-%d", n)},
	}, err
}

// Lease hands out one credential.
func (b *smallBroker) Lease(_ context.Context, r *intercomv1.LeaseRequest) (*intercomv1.LeaseResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.leased.Add(1)
	if err := b.deny[r.GetCredential()]; err != nil {
		return nil, fault.Status(err).Err()
	}
	if r.GetCredential() != "reports/db" {
		return nil, fault.Status(fault.New(fault.NotFound, "CREDENTIAL_UNKNOWN", "no such credential")).Err()
	}
	end := timestamppb.New(time.Now().Add(b.life))
	resp := &intercomv1.LeaseResponse{
		Provenance: &intercomv1.Provenance{DecisionId: fmt.Sprintf("d-%d", n), HardDeadline: end},
		Credential: &intercomv1.Credential{
			Name: r.GetCredential(), Version: 7, NotAfter: end,
			Fields: map[string][]byte{"username": []byte("rep"), "password": []byte("s3cr\"et"), "salt": {0xff, 0xfe}},
		},
	}
	if b.edit != nil {
		b.edit(resp)
	}
	return resp, nil
}

// WatchServices sends the services at once and at every change.
func (b *smallBroker) WatchServices(_ *intercomv1.WatchServicesRequest, s grpc.ServerStreamingServer[intercomv1.WatchServicesResponse]) error {
	for {
		b.mu.Lock()
		list, changed := b.services, b.changed
		b.mu.Unlock()
		if err := s.Send(&intercomv1.WatchServicesResponse{Revision: "1", Services: list}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return nil
		}
	}
}

func (b *smallBroker) set(services ...*intercomv1.Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services = services
	close(b.changed)
	b.changed = make(chan struct{})
}

// change changes what the broker does.
func (b *smallBroker) change(f func(b *smallBroker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

func (b *smallBroker) refuse(what string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deny[what] = err
}

// plug is a listener that can be pulled, as a process is killed.
type plug struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (p *plug) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err == nil {
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
	}
	return c, err
}

func (p *plug) pull() {
	_ = p.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func listen(t testing.TB) *plug {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &plug{Listener: l}
	t.Cleanup(p.pull)
	return p
}

// setup is what a test may say before the world is made.
type setup struct {
	domain embedded.Config
	client client.Config
	api    localapi.Config
	life   time.Duration // of tokens and leases
	egress http.Handler
	deny   map[string]error // from the start
}

func newWorld(t testing.TB, s setup, services ...*intercomv1.Service) *world {
	t.Helper()
	d, err := embedded.New(s.domain)
	must(t, err)
	w := &world{t: t, domain: d}
	w.startBroker(s, services)
	source := d.Source(d.ID("/orders"))
	s.client.Addresses, s.client.EgressAddresses = []string{w.broker.mesh.Addr().String()}, []string{w.broker.egress}
	s.client.Source, s.client.Brokers = source, tlsconfig.AuthorizeID(d.ID("/broker"))
	w.client, err = client.New(s.client)
	must(t, err)
	s.api.Client, s.api.Bundles = w.client, source
	w.api, err = localapi.New(s.api)
	must(t, err)
	w.run()
	w.openDoor()
	if len(services) > 0 {
		eventually(t, "the services are known", func() bool {
			_, body := w.get("/none-of-them/", nil)
			return strings.Contains(body, "SERVICE_UNKNOWN")
		})
	}
	return w
}

func (w *world) startBroker(s setup, services []*intercomv1.Service) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	life := s.life
	if life == 0 {
		life = 5 * time.Minute
	}
	b := &smallBroker{key: key, life: life, deny: map[string]error{}, changed: make(chan struct{}), services: services, mesh: listen(w.t)}
	for what, err := range s.deny {
		b.deny[what] = err
	}
	w.broker = b
	src := w.domain.Source(w.domain.ID("/broker"))
	conf := mtls.Config{TLS: mtls.Server(src, src, mtls.AllowDomains(w.domain.Name()), "h2"), Grace: time.Millisecond}
	go func() {
		_ = mtls.ServeGRPC(w.t.Context(), b.mesh, conf, func(opts ...grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(opts...)
			intercomv1.RegisterTokenExchangeServer(s, b)
			intercomv1.RegisterCredentialsServer(s, b)
			intercomv1.RegisterSidecarServer(s, b)
			return s
		})
	}()
	if s.egress == nil {
		s.egress = http.NotFoundHandler()
	}
	b.egress = w.serveSVID("/broker", s.egress)
}

// serveSVID serves h over mutual TLS as the workload of that path, and returns its address.
func (w *world) serveSVID(path string, h http.Handler) string {
	p := listen(w.t)
	src := w.domain.Source(w.domain.ID(path))
	l := mtls.ListenHTTP(p, mtls.Config{TLS: mtls.Server(src, src, mtls.AllowDomains(w.domain.Name()), "h2", "http/1.1")})
	go func() { _ = mtls.ServeHTTP(w.t.Context(), p, l, &http.Server{Handler: h}, time.Millisecond) }()
	return p.Addr().String()
}

// run runs the client and the API as the assembly does.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.client.Run(ctx, w.api.Warm) })
	wg.Go(func() { _ = w.api.Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		_ = w.client.Close()
		wg.Wait()
		_ = w.api.Close()
	})
}

func (w *world) openDoor() {
	l := listen(w.t)
	w.door = l.Addr().String()
	srv := localapi.NewServer(w.api.Handler(w.door))
	go func() { _ = srv.Serve(l) }()
	w.t.Cleanup(func() { _ = srv.Close() })
}

// get asks the door, and returns the response with its body read.
func (w *world) get(path string, edit func(*http.Request)) (*http.Response, string) {
	w.t.Helper()
	return w.do(http.MethodGet, path, nil, edit)
}

func (w *world) do(method, path string, body io.Reader, edit func(*http.Request)) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.door+path, body)
	must(w.t, err)
	if edit != nil {
		edit(req)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	must(w.t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp, string(got)
}

// verified is what a service learns of a caller from a token that it has verified, cnf included.
func (w *world) verified(r *http.Request, audience string) (string, error) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || len(r.Header["Authorization"]) != 1 {
		return "", fmt.Errorf("no bearer token, but %q", r.Header["Authorization"])
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(raw, claims, func(*jwt.Token) (any, error) { return &w.broker.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(audience), jwt.WithExpirationRequired())
	if err != nil {
		return "", err
	}
	cnf, bound := claims["cnf"].(map[string]any)
	if !bound {
		return "bearer", nil
	}
	_, cert, err := mtls.Peer(*r.TLS)
	if err != nil {
		return "", err
	}
	if cnf["x5t#S256"] != mtls.Thumbprint(cert) {
		return "", fmt.Errorf("a token for %v came over a connection of %v", cnf, mtls.Thumbprint(cert))
	}
	return "bound", nil
}

// verifies is a service that answers only to verified tokens, with what it saw.
func (w *world) verifies(audience string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		how, err := w.verified(r, audience)
		if err != nil {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(rw, err.Error(), http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %s %s %s %s", how, r.Proto, r.Method, r.URL.RequestURI(), body)
	})
}

// plain is an http service; the world is made before its handler is, so that is handed in later.
func plain(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// later is a handler that is set after its server has begun.
type later struct{ h atomic.Pointer[http.Handler] }

func (l *later) set(h http.Handler) { l.h.Store(&h) }

func (l *later) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*l.h.Load()).ServeHTTP(w, r) }

func tokenService(name, url string, bind intercomv1.Bind) *intercomv1.Service {
	return &intercomv1.Service{
		Name: name, Mode: intercomv1.Mode_MODE_TOKEN, Url: url, Audience: name, Bind: bind, Scope: []string{"read"},
		Dial: []string{"127.0.0.0/8"}, Stale: durationpb.New(10 * time.Minute),
	}
}

func problem(t testing.TB, resp *http.Response, body string, status int, code string) {
	t.Helper()
	if resp.StatusCode != status || !strings.Contains(body, `"code":"`+code+`"`) ||
		resp.Header.Get("Content-Type") != "application/problem+json" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("want the problem %d %s, got %s %v %s", status, code, resp.Status, resp.Header, body)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}
