package egress_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// The benchmark measures the CPU time of the process that proxies, and of nothing else: the doors run in
// a child, which is this test binary again, and tells its own getrusage when it is asked.
const (
	envKind     = "INTERCOM_BENCH_DOOR"
	envUpstream = "INTERCOM_BENCH_UPSTREAM"
	envDir      = "INTERCOM_BENCH_DIR"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(envKind); kind != "" {
		runDoor(kind, os.Getenv(envUpstream), os.Getenv(envDir))
		return
	}
	os.Exit(m.Run())
}

// BenchmarkEgress compares, over HTTP/1.1 with 64 connections, an answer of 1 KB and ten header fields: the
// door; a bare httputil.ReverseProxy with the same mTLS and the same two appends to the audit log; one with
// neither; and no proxy at all.
func BenchmarkEgress(b *testing.B) { compare(b, "http/1.1") }

// BenchmarkEgressHTTP2 is BenchmarkEgress for callers that come over HTTP/2, as sidecars do.
func BenchmarkEgressHTTP2(b *testing.B) { compare(b, "h2") }

func compare(b *testing.B, proto string) {
	payload := strings.Repeat("x", 1024)
	url, _ := upstream(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, payload) })
	for _, kind := range []string{"intercom", "bare", "plain", "direct"} {
		b.Run(kind, func(b *testing.B) {
			d := startChild(b, kind, url, proto)
			b.ResetTimer()
			b.ReportMetric(d.load(b, b.N).Seconds()*1e6/float64(b.N), "cpu-µs/op")
		})
	}
	// A machine that is shared is never as fast twice: for the ratio the two take turns of some milliseconds.
	b.Run("ratio", func(b *testing.B) {
		ours, theirs := startChild(b, "intercom", url, proto), startChild(b, "bare", url, proto)
		var intercom, bare time.Duration
		b.ResetTimer()
		for n := b.N; n > 0; n -= turn {
			intercom += ours.load(b, min(n, turn))
			bare += theirs.load(b, min(n, turn))
		}
		b.ReportMetric(float64(intercom)/float64(bare), "intercom/bare")
	})
}

// turn is how many requests in a row one of the two gets.
const turn = 256

// child is the process that proxies. For direct there is none.
type child struct {
	ask    io.Writer
	reply  *bufio.Reader
	told   told
	base   string
	client *http.Client
}

// told is what the child says of itself first.
type told struct{ Addr, SVID, Key, Bundle string }

func startChild(b *testing.B, kind, upstream, proto string) *child {
	b.Helper()
	d := &child{base: upstream}
	if kind != "direct" {
		d.start(b, kind, upstream)
	}
	d.client = d.newClient(b, kind, proto)
	d.load(b, 500) // connections are made before the clock runs
	return d
}

func (d *child) start(b *testing.B, kind, upstream string) {
	cmd := exec.Command(os.Args[0]) // it ends when its input does
	cmd.Env = append(os.Environ(), envKind+"="+kind, envUpstream+"="+upstream, envDir+"="+b.TempDir())
	cmd.Stderr = os.Stderr
	ask, err := cmd.StdinPipe()
	must(err)
	reply, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	b.Cleanup(func() {
		_ = ask.Close()
		_ = cmd.Wait()
	})
	d.ask, d.reply = ask, bufio.NewReader(reply)
	must(json.NewDecoder(d.line()).Decode(&d.told))
	scheme := map[string]string{"plain": "http://"}[kind]
	if scheme == "" {
		scheme = "https://"
	}
	d.base = scheme + d.told.Addr + "/crm"
}

func (d *child) line() io.Reader {
	line, err := d.reply.ReadString('\n')
	must(err)
	return strings.NewReader(line)
}

// cpu asks for the time that the child has used.
func (d *child) cpu(b *testing.B) time.Duration {
	b.Helper()
	if d.ask == nil {
		return 0
	}
	_, err := io.WriteString(d.ask, "\n")
	must(err)
	var used time.Duration
	_, err = fmt.Fscanln(d.line(), &used)
	must(err)
	return used
}

func (d *child) newClient(b *testing.B, kind, proto string) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(proto == "http/1.1")
	transport.Protocols.SetHTTP2(proto == "h2")
	transport.Protocols.SetUnencryptedHTTP2(proto == "h2")
	if kind == "intercom" || kind == "bare" {
		svid, err := x509svid.Parse([]byte(d.told.SVID), []byte(d.told.Key))
		must(err)
		bundle, err := x509bundle.Parse(svid.ID.TrustDomain(), []byte(d.told.Bundle))
		must(err)
		transport.TLSClientConfig = mtls.Client(svid, bundle, tlsconfig.AuthorizeAny(), proto)
	}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// load sends n requests, 64 at a time, and returns what they cost the child.
func (d *child) load(b *testing.B, n int) time.Duration {
	before := d.cpu(b)
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for range n/64 + min(1, max(0, n%64-i)) {
				d.one(b)
			}
		})
	}
	group.Wait()
	return d.cpu(b) - before
}

func (d *child) one(b *testing.B) {
	r, err := http.NewRequest("GET", d.base+"/api/v1/customers/4711?expand=orders", nil)
	must(err)
	for i, name := range []string{"Accept", "Accept-Language", "Cache-Control", "If-None-Match", "X-Tenant", "X-Request-Id", "Origin", "Referer", "Prefer"} {
		r.Header.Set(name, "value-"+strconv.Itoa(i))
	}
	res, err := d.client.Do(r)
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b.Errorf("got %d", res.StatusCode)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// runDoor is the child.
func runDoor(kind, upstream, dir string) {
	domain, err := embedded.New(embedded.Config{})
	must(err)
	log, err := audit.Open(audit.Config{Dir: dir})
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	bound, addr, source := l, l.Addr().String(), domain.Source(domain.ID("/broker"))
	if kind != "plain" {
		l = mtls.ListenHTTP(l, mtls.Config{TLS: mtls.Server(source, source, tlsconfig.AuthorizeAny(), "h2", "http/1.1")})
	}
	srv := &http.Server{Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	switch kind {
	case "intercom":
		srv.Handler, l = authn.HTTP(benchDoor(upstream, log)), hygiene.Listener(l)
	case "bare":
		srv.Handler = authn.HTTP(recorded(bare(upstream), log))
	case "plain":
		srv.Handler = bare(upstream)
	}
	go func() { must(mtls.ServeHTTP(context.Background(), bound, l, srv, 0)) }()
	tell(domain, addr)
}

func tell(domain *embedded.Domain, addr string) {
	svid, err := domain.X509SVID(domain.ID("/orders"))
	must(err)
	certs, key, err := svid.Marshal()
	must(err)
	bundle, err := domain.Bundle().X509Bundle().Marshal()
	must(err)
	must(json.NewEncoder(os.Stdout).Encode(told{addr, string(certs), string(key), string(bundle)}))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
}

func benchDoor(upstream string, log *audit.Log) http.Handler {
	catalog, err := service.Parse(map[string][]byte{"t.yaml": []byte("version: 1\nowner: team\nservices:\n" + crm(at(upstream)))})
	must(err)
	rules, err := policy.LoadFS(fstest.MapFS{"policy.csv": {Data: []byte("p, spiffe://intercom.test/orders, call, service/crm/GET/**, allow\n")}})
	must(err)
	// Metrics and traces are as in production without a collector. The bare one does neither.
	t, err := telemetry.New(context.Background(), telemetry.Config{Service: "bench", LogOutput: io.Discard})
	must(err)
	registry := t.Registry()
	h, err := egress.New(egress.Config{
		Point:    &pep.Point{Decider: rules, Recorder: log, Metrics: pep.NewMetrics(registry)},
		Services: func() *service.Catalog { return catalog }, Vender: newStore(),
		Tracer: t.Tracer("egress"), Metrics: egress.NewMetrics(registry),
	})
	must(err)
	return h
}

// bare is a ReverseProxy as one writes it who knows about idle connections and buffers.
func bare(upstream string) http.Handler {
	target, err := url.Parse(upstream)
	must(err)
	return &httputil.ReverseProxy{
		Rewrite:    func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
		Transport:  &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true},
		BufferPool: &pool{},
	}
}

type pool struct{ sync.Pool }

func (p *pool) Get() []byte {
	if b, ok := p.Pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *pool) Put(b []byte) { p.Pool.Put((*[32 << 10]byte)(b)) }

// recorded appends the two records that an act costs.
func recorded(next http.Handler, log *audit.Log) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := identity.FromContext(r.Context())
		id := audit.NewID()
		must(log.Record(r.Context(), audit.Event{Decision: id, Kind: audit.KindDecision, Subject: p.Subject(), Proof: string(p.Workload.Proof),
			Action: "call", Resource: "service/crm/GET" + r.URL.Path, Rule: "policy.csv:1", Revision: "0123456789abcdef", Allow: true}))
		next.ServeHTTP(w, r)
		must(log.Record(context.Background(), audit.Event{Decision: id, Kind: audit.KindOutcome, Credential: "crm/login", Version: 7, Result: "ok", Bytes: 1024}))
	})
}
