package upstream_test

import (
	"bufio"
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
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
)

// The benchmark measures the CPU time of the process that proxies, and of nothing else: it runs in a child, which
// is this test binary again, and tells its own getrusage when it is asked.
const (
	envKind     = "INTERCOM_BENCH_GATE"
	envUpstream = "INTERCOM_BENCH_UPSTREAM"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(envKind); kind != "" {
		runChild(kind, os.Getenv(envUpstream))
		return
	}
	os.Exit(m.Run())
}

// BenchmarkProxy compares, over HTTP/1.1 with 64 connections, an answer of 1 KB: the proxy with the route, the
// hygiene of listener, request and header, over one target and over two; and a bare httputil.ReverseProxy with
// the same transport.
func BenchmarkProxy(b *testing.B) {
	payload := strings.Repeat("x", 1024)
	at := plain(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, payload) })
	for _, kind := range []string{"one", "two"} {
		b.Run(kind, func(b *testing.B) {
			// A machine that is shared is never as fast twice: for the ratio the two take turns of some milliseconds.
			ours, theirs := startChild(b, kind, at), startChild(b, "bare", at)
			var intercom, bare time.Duration
			b.ResetTimer()
			for n := b.N; n > 0; n -= turn {
				intercom += ours.load(b, min(n, turn))
				bare += theirs.load(b, min(n, turn))
			}
			b.ReportMetric(intercom.Seconds()*1e6/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(intercom)/float64(bare), "intercom/bare")
		})
	}
}

// turn is how many requests in a row one of the two gets.
const turn = 256

// child is the process that proxies.
type child struct {
	ask    io.Writer
	reply  *bufio.Reader
	base   string
	client *http.Client
}

func startChild(b *testing.B, kind, at string) *child {
	b.Helper()
	cmd := exec.Command(os.Args[0]) // it ends when its input does
	cmd.Env = append(os.Environ(), envKind+"="+kind, envUpstream+"="+at)
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
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	d := &child{ask: ask, reply: bufio.NewReader(reply), client: &http.Client{Transport: transport}}
	d.base = "http://" + d.line() + "/crm"
	d.load(b, 500) // connections are made before the clock runs
	return d
}

func (d *child) line() string {
	line, err := d.reply.ReadString('\n')
	must(err)
	return strings.TrimSpace(line)
}

// cpu asks for the time that the child has used.
func (d *child) cpu() time.Duration {
	_, err := io.WriteString(d.ask, "\n")
	must(err)
	used, err := strconv.ParseInt(d.line(), 10, 64)
	must(err)
	return time.Duration(used)
}

// load sends n requests, 64 at a time, and returns what they cost the child.
func (d *child) load(b *testing.B, n int) time.Duration {
	before := d.cpu()
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for range n/64 + min(1, max(0, n%64-i)) {
				d.one(b)
			}
		})
	}
	group.Wait()
	return d.cpu() - before
}

func (d *child) one(b *testing.B) {
	r, err := http.NewRequest("GET", d.base+"/api/v1/customers/4711?expand=orders", nil)
	must(err)
	r.Host = "door.test"
	for i, name := range []string{"Accept", "Accept-Language", "Cache-Control", "If-None-Match", "X-Tenant", "X-Request-Id", "Origin", "Referer", "Prefer"} {
		r.Header.Set(name, "value-"+strconv.Itoa(i))
	}
	r.Header.Set("Cookie", "__Host-Http-ic=YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY")
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

// runChild is the child.
func runChild(kind, at string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	addr, srv := l.Addr().String(), &http.Server{ReadHeaderTimeout: time.Minute, Handler: bareProxy(at)}
	if kind != "bare" {
		srv.Handler, l = benchGate(kind, at), hygiene.Listener(l)
	}
	go func() { must(srv.Serve(l)) }()
	fmt.Println(addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
}

func benchGate(kind, at string) http.Handler {
	lines := many(at)
	if kind == "two" {
		lines = many(at, strings.Replace(at, "127.0.0.1", "localhost", 1))
	}
	c := parse(nil, lines)
	tab, err := route.New(c, hosts)
	must(err)
	g := &gate{set: upstream.New(upstream.Config{})}
	g.set.Follow(c)
	g.proxy = upstream.NewProxy(g.set)
	g.table.Store(tab)
	g.change = func(_ *http.Request, c *upstream.Call) { c.Ended = nil }
	return g
}

// bareProxy is a ReverseProxy over the same transport.
func bareProxy(at string) http.Handler {
	target, err := url.Parse(at)
	must(err)
	svc, _ := parse(nil, many(at)).Get("crm")
	return &httputil.ReverseProxy{
		Rewrite:    func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
		Transport:  outbound.Transport(outbound.Config{Dial: svc.Upstream.Dial, HeaderTimeout: time.Minute}),
		BufferPool: &outbound.Buffers{},
	}
}
