package brokertest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/brokertest"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// inFlight is how many calls are made at the same time, all over one connection, as a sidecar makes them.
const inFlight = 64

// BenchmarkExchange has, beside a token for the caller itself from a whole broker, the least that this can
// cost: the same door and the same client with an empty call, one ES256 signature, and one append of 300
// bytes, which is followed by an fsync that all waiting calls share when sync is always.
//
// For the ratio the two take turns of some tenths of a second, since a machine that is shared is never as
// fast twice:
//
//	go test -run '^$' -bench Exchange/ratio -count 5 ./broker/brokertest
func BenchmarkExchange(b *testing.B) {
	for _, sync := range []string{"interval", "always"} {
		intercom, floor := exchangeCall(b, sync), floorCall(b, sync == "always")
		b.Run("intercom/sync="+sync, func(b *testing.B) { measure(b, intercom) })
		b.Run("floor/sync="+sync, func(b *testing.B) { measure(b, floor) })
		b.Run("ratio/sync="+sync, func(b *testing.B) { compare(b, intercom, floor) })
	}
}

// call is one call to be measured.
type call func(context.Context) error

// exchangeCall asks a whole broker, whose policy has a thousand rules, for a token that is bound to the
// caller's SVID.
func exchangeCall(b *testing.B, sync string) call {
	var rules strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&rules, "p, spiffe://intercom.test/service-%d, exchange, audience/target-%d, allow\n", n, n%100)
	}
	rules.WriteString(somePolicy)
	services := strings.Replace(someServices, "http://", "https://", 1) // which makes bound the default
	broker := brokertest.Start(b, brokertest.Options{Policy: rules.String(), Services: services, Sync: sync})
	c := broker.Client(b, "/orders")
	return func(ctx context.Context) error {
		issued, err := c.Exchange(ctx, &intercomv1.ExchangeRequest{Audience: []string{"inventory"}})
		if err == nil && (issued.GetAccessToken() == "" || issued.GetBind() != intercomv1.Bind_BIND_X5T_S256) {
			return fmt.Errorf("no bound token, but %v", issued.GetBind())
		}
		return err
	}
}

// load is what the calls of one kind took.
type load struct {
	do    call
	took  time.Duration
	cpu   time.Duration   // of both ends
	calls []time.Duration // each of them
}

// run makes n calls.
func (l *load) run(b *testing.B, n int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var mu sync.Mutex
	var all sync.WaitGroup
	began, before := time.Now(), cpuTime(b)
	for range inFlight {
		all.Go(func() {
			mine := make([]time.Duration, 0, 2*n/inFlight)
			for left.Add(-1) >= 0 {
				start := time.Now()
				if err := l.do(b.Context()); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			l.calls = append(l.calls, mine...)
		})
	}
	all.Wait()
	l.took += time.Since(began)
	l.cpu += cpuTime(b) - before
}

// cpuTime is what this process has taken so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (l *load) cpuPerCall() float64 { return l.cpu.Seconds() * 1e6 / float64(len(l.calls)) }

func (l *load) throughput() float64 { return float64(len(l.calls)) / l.took.Seconds() }

// quantile returns the time within which that share of the calls was answered. The calls are sorted.
func (l *load) quantile(share float64) time.Duration {
	if len(l.calls) == 0 {
		return 0
	}
	return l.calls[int(share*float64(len(l.calls)-1))]
}

func (l *load) report(b *testing.B, prefix string) {
	slices.Sort(l.calls)
	b.ReportMetric(l.throughput(), prefix+"ops/s")
	b.ReportMetric(l.cpuPerCall(), prefix+"cpu-µs/op")
	b.ReportMetric(float64(l.quantile(0.5))/1e6, prefix+"p50-ms")
	b.ReportMetric(float64(l.quantile(0.99))/1e6, prefix+"p99-ms")
}

func measure(b *testing.B, do call) {
	(&load{do: do}).run(b, 4*inFlight) // connects, and warms up
	l := &load{do: do}
	b.ReportAllocs()
	b.ResetTimer()
	l.run(b, b.N)
	b.StopTimer()
	l.report(b, "")
}

// turns is how many turns each of the two has, and turn how many calls it makes in one.
const (
	turns = 21
	turn  = 20 * inFlight
)

// compare lets the two take turns, as many whatever b.N is. Its ratios are the medians of the turns'
// ratios: when the machine stands still for a moment, that is neither's fault.
func compare(b *testing.B, intercom, floor call) {
	ours, theirs := &load{do: intercom}, &load{do: floor}
	ours.turn(b, 4*inFlight) // connects, and warms up
	theirs.turn(b, 4*inFlight)
	*ours, *theirs = load{do: intercom}, load{do: floor}
	var throughput, cpu, p99 []float64
	for range turns {
		us, them := ours.turn(b, turn), theirs.turn(b, turn)
		throughput = append(throughput, us.throughput()/them.throughput())
		cpu = append(cpu, them.cpuPerCall()/us.cpuPerCall())
		p99 = append(p99, float64(us.quantile(0.99))/float64(them.quantile(0.99)))
	}
	b.ReportMetric(0, "ns/op")
	ours.report(b, "")
	theirs.report(b, "floor-")
	b.ReportMetric(median(throughput), "throughput-ratio")
	b.ReportMetric(median(cpu), "cpu-ratio")
	b.ReportMetric(median(p99), "p99-ratio")
}

// turn makes n calls, adds them to l, and returns them alone.
func (l *load) turn(b *testing.B, n int) *load {
	b.Helper()
	alone := &load{do: l.do}
	alone.run(b, n)
	slices.Sort(alone.calls)
	l.took, l.cpu, l.calls = l.took+alone.took, l.cpu+alone.cpu, append(l.calls, alone.calls...)
	return alone
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}
