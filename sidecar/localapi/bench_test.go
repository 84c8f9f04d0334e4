package localapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/sidecar/localapi"
)

// BenchmarkSidecar sends GET requests for 1 KiB over kept-alive HTTP/1.1 connections, 16 at a time:
//
//	intercom   through the sidecar, to a service over mutual TLS with a bound token
//	bare       through a bare httputil.ReverseProxy with the same mutual TLS and a fixed token
//	plain      through the same without TLS to the service
//	direct     to the service itself, over mutual TLS
//
// Each proxy is a process of its own, and µs-cpu/op is the processor time that the kernel counts for it
// (for direct, for the caller). The ratio intercom to bare, x-bare, is the median of rounds that
// alternate between the two, because the machine changes more between two runs than the proxies differ.
func BenchmarkSidecar(b *testing.B) {
	if testing.Short() {
		b.Skip("starts processes")
	}
	l := newLab(b)
	targets := map[string]target{
		"intercom": l.proxy("intercom", "mutual"), "bare": l.proxy("bare", "mutual"), "plain": l.proxy("bare", "plain"),
		"direct": {url: "https://" + l.mutual, client: l.mutualClient()},
	}
	for _, name := range []string{"intercom", "bare", "plain", "direct"} {
		to := targets[name]
		b.Run(name, func(b *testing.B) {
			to.send(b, 200) // connections, tokens
			before := to.cpu(b)
			b.ResetTimer()
			to.send(b, b.N)
			b.ReportMetric(float64((to.cpu(b)-before).Microseconds())/float64(b.N), "µs-cpu/op")
		})
	}
	b.Run("ratio", func(b *testing.B) {
		var ratios []float64
		for range 9 {
			ratios = append(ratios, targets["intercom"].cost(b, 3000)/targets["bare"].cost(b, 3000))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "x-bare")
		b.ReportMetric(0, "ns/op")
	})
}

// target is where requests are sent, and whose processor time counts.
type target struct {
	url    string
	client *http.Client
	pid    int // zero: our own
}

func (to target) send(b *testing.B, n int) {
	b.Helper()
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range work {
				if err := to.once(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (to target) once() error {
	req, err := http.NewRequest(http.MethodGet, to.url+"/items/1?q=1", nil)
	if err != nil {
		return err
	}
	req.Header = http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip, br"}, "Accept-Language": {"en"}, "User-Agent": {"bench/1"},
		"X-Request-Id": {"0123456789abcdef"}, "Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"Idempotency-Key": {"k"}, "If-None-Match": {`"e"`},
	}
	resp, err := to.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 1024 || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s, %d bytes, %w", resp.Status, n, err)
	}
	return nil
}

// cost is µs of processor time for one request.
func (to target) cost(b *testing.B, n int) float64 {
	before := to.cpu(b)
	to.send(b, n)
	return float64((to.cpu(b) - before).Microseconds()) / float64(n)
}

// cpu is the processor time of all threads so far (proc(5), schedstat counts nanoseconds).
func (to target) cpu(b *testing.B) (sum time.Duration) {
	b.Helper()
	pid := "self"
	if to.pid != 0 {
		pid = strconv.Itoa(to.pid)
	}
	files, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		sum += time.Duration(n)
	}
	if sum == 0 {
		b.Skip("this kernel counts no processor time per thread")
	}
	return sum
}

// lab has the broker and the services; the proxies are processes of their own.
type lab struct {
	b      *testing.B
	world  *world
	mutual string // host:port
	plain  string // URL
	socket string // the Workload API of the proxies
}

func newLab(b *testing.B) *lab {
	b.Helper()
	body := strings.Repeat("x", 1024)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	w := newWorld(b, setup{})
	dir, err := os.MkdirTemp("", "bn") // b.TempDir is too long for a socket
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{b: b, world: w, mutual: w.serveSVID("/ledger", answer), plain: plain(b, answer)}
	path := filepath.Join(dir, "api.sock")
	l.socket = "unix://" + path
	go func() { _ = w.domain.Serve(b.Context(), path, w.domain.ID("/orders")) }()
	w.broker.set(tokenService("mutual", "https://"+l.mutual, bound), tokenService("plain", l.plain, bearer))
	return l
}

func (l *lab) mutualClient() *http.Client {
	src := l.world.domain.Source(l.world.domain.ID("/orders"))
	return &http.Client{Transport: mutualTransport(src, src)}
}

// mutualTransport is tuned as the sidecar's are: without connections to spare the bare proxy would dial
// all the time.
func mutualTransport(own x509svid.Source, bundles x509bundle.Source) *http.Transport {
	return &http.Transport{
		TLSClientConfig:     mtls.Client(own, bundles, tlsconfig.AuthorizeAny()),
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}
}

// proxy starts one and returns it.
func (l *lab) proxy(kind, service string) target {
	l.b.Helper()
	to := map[string]string{"mutual": "https://" + l.mutual, "plain": l.plain}[service]
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchRole+"="+kind, "BENCH_SOCKET="+l.socket, "BENCH_TO="+to,
		"BENCH_MESH="+l.world.broker.mesh.Addr().String(), "BENCH_BROKER="+l.world.domain.ID("/broker").String())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(l.b, err)
	stdout, err := cmd.StdoutPipe()
	must(l.b, err)
	must(l.b, cmd.Start())
	l.b.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	address, err := bufio.NewReader(stdout).ReadString('\n')
	must(l.b, err)
	base := "http://" + strings.TrimSpace(address)
	if kind == "intercom" {
		base += "/" + service
	}
	return target{url: base, pid: cmd.Process.Pid, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}}
}

// benchRole makes the test binary a proxy.
const benchRole = "LOCALAPI_BENCH_ROLE"

func TestMain(m *testing.M) {
	if kind := os.Getenv(benchRole); kind != "" {
		if err := serveBench(kind); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveBench is a proxy until its standard input ends.
func serveBench(kind string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	own, err := svid.Open(ctx, svid.Config{Socket: os.Getenv("BENCH_SOCKET")})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h, err := bareProxy(own, os.Getenv("BENCH_TO"))
	if kind == "intercom" {
		h, err = intercomProxy(ctx, own, l.Addr().String())
	}
	if err != nil {
		return err
	}
	go func() { _ = localapi.NewServer(h).Serve(l) }()
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func intercomProxy(ctx context.Context, own *svid.Source, address string) (http.Handler, error) {
	c, err := client.New(client.Config{
		Addresses: []string{os.Getenv("BENCH_MESH")}, Source: own,
		Brokers: tlsconfig.AuthorizeID(spiffeid.RequireFromString(os.Getenv("BENCH_BROKER"))),
	})
	if err != nil {
		return nil, err
	}
	metrics := localapi.NewMetrics(prometheus.NewRegistry())
	api, err := localapi.New(localapi.Config{Client: c, Bundles: own, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	go func() { _ = c.Run(ctx, api.Warm) }()
	go func() { _ = api.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); len(api.Ready()) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	return api.Handler(address), nil
}

func bareProxy(own *svid.Source, to string) (http.Handler, error) {
	base, err := url.Parse(to)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(base)
			r.Out.Header.Set("Authorization", "Bearer "+strings.Repeat("t", 500))
		},
		Transport:  mutualTransport(own, own),
		BufferPool: new(pool),
	}, err
}

type pool struct{ sync.Pool }

func (p *pool) Get() []byte {
	if b, ok := p.Pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *pool) Put(b []byte) { p.Pool.Put(&b) }
