package gateway_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// BenchmarkGateway compares, with 64 requests under way and an answer of 1 KB, what a request of a user who is
// logged in costs a whole gateway (the session in Redis, a minted token) with what it costs a bare
// httputil.ReverseProxy behind the same TLS. Browsers speak HTTP/2; proxies before us often HTTP/1.1.
//
// All are reads of one session, of which the audit log has one a minute: an act that writes costs its two records
// more, which are not measured here.
//
// Both are in this process, so that they share one heap and one noise; browsers and service are in another.
func BenchmarkGateway(b *testing.B) {
	l, redis := newCrowd(b), stack.StartRedis(b, stack.RedisOptions{})
	w := newWorld(b, options{redis: redis, orders: l.upstream})
	alice := w.person(b, 0)
	alice.Login("alice")
	roots, err := os.ReadFile(w.Authority.File)
	must(b, err)
	ours := order{Addr: w.Gateways[0].Front, Origin: w.Origin(), Token: true, Cookie: "__Host-Http-ic=" + alice.Session(), Roots: string(roots)}
	bare := ours
	bare.Addr, bare.Token = w.bare(b, l.upstream), false
	for _, ours.Proto = range []string{"http1", "http2"} {
		bare.Proto = ours.Proto
		b.Run(ours.Proto+"/gateway", func(b *testing.B) { l.alone(b, ours, redis) })
		b.Run(ours.Proto+"/bare", func(b *testing.B) { l.alone(b, bare, redis) })
		b.Run(ours.Proto+"/ratio", func(b *testing.B) { l.compare(b, ours, bare) })
	}
}

// alone is one of the two. The commands are all that Redis got in the time, our own INFO aside.
func (l *crowd) alone(b *testing.B, o order, redis *stack.RedisServer) {
	l.cost(b, o, 500) // connections are made before the clock runs
	before := commands(b, redis)
	b.ResetTimer()
	b.ReportMetric(l.cost(b, o, b.N).Seconds()*1e6/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(commands(b, redis)-before-1)/float64(b.N), "redis-commands/op")
}

// turn is how many requests in a row one of the two gets: a machine that is shared is never as fast twice.
const turn = 256

func (l *crowd) compare(b *testing.B, ours, bare order) {
	l.cost(b, ours, 500)
	l.cost(b, bare, 500)
	var gateway, proxy time.Duration
	b.ResetTimer()
	for n := b.N; n > 0; n -= turn {
		gateway += l.cost(b, ours, min(n, turn))
		proxy += l.cost(b, bare, min(n, turn))
	}
	b.ReportMetric(float64(gateway)/float64(proxy), "gateway/bare")
}

// cost is the CPU time that this process used while n requests were answered.
func (l *crowd) cost(b *testing.B, o order, n int) time.Duration {
	b.Helper()
	o.N = n
	before := cpu(b)
	l.run(b, o)
	return cpu(b) - before
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func commands(b *testing.B, redis *stack.RedisServer) int {
	b.Helper()
	found := regexp.MustCompile(`total_commands_processed:(\d+)`).FindStringSubmatch(redis.Call(b, "INFO", "stats"))
	n, err := strconv.Atoi(found[1])
	must(b, err)
	return n
}

// bare serves a ReverseProxy as one writes it who knows about idle connections and buffers.
func (w *world) bare(b *testing.B, upstream string) (addr string) {
	b.Helper()
	target, err := url.Parse(upstream)
	must(b, err)
	cert, err := tls.LoadX509KeyPair(w.Path("tls.pem"), w.Path("tls.key"))
	must(b, err)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a benchmark's
	must(b, err)
	transport := outbound.Transport(outbound.Config{Dial: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	srv := &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
			Transport: transport, BufferPool: &outbound.Buffers{},
		},
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}, ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	b.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

// BenchmarkLogout is the time from a logout at the provider until the last of three gateways refuses the session,
// while each of them is asked all the time. The provider's signing and sending is in it.
func BenchmarkLogout(b *testing.B) {
	w := newWorld(b, options{replicas: 3, redis: stack.StartRedis(b, stack.RedisOptions{}), change: func(c *gateway.Config) {
		c.TrustedProxies = []gateway.Network{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	}})
	alice := w.person(b, 0)
	way := &traveller{RoundTripper: alice.HTTP.Transport}
	alice.HTTP.Transport = way
	replicas := []*person{alice.at(0), alice.at(1), alice.at(2)}
	var took []time.Duration
	for b.Loop() {
		way.moves++
		alice.Login("alice")
		took = append(took, w.logout(b, replicas))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
}

func (w *world) logout(b *testing.B, replicas []*person) time.Duration {
	b.Helper()
	for _, p := range replicas { // each holds the session in its own memory now
		if res := p.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusOK {
			b.Fatalf("%d %s", res.StatusCode, res.Text)
		}
	}
	var all sync.WaitGroup
	began := time.Now()
	for _, p := range replicas {
		all.Go(func() {
			for p.Fetch(http.MethodGet, "/orders/1").StatusCode != http.StatusUnauthorized {
				<-time.After(time.Millisecond)
			}
		})
	}
	if n := w.IDP.EndSession(context.WithoutCancel(b.Context()), "alice"); n != 1 {
		b.Errorf("%d sessions at the provider", n)
	}
	all.Wait()
	return time.Since(began)
}

// traveller comes from another address after each move, because logins from one address are limited.
type traveller struct {
	http.RoundTripper
	moves uint16
}

func (t *traveller) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", netip.AddrFrom4([4]byte{10, 0, byte(t.moves >> 8), byte(t.moves)}).String())
	return t.RoundTripper.RoundTrip(r)
}
