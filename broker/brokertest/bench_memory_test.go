package brokertest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// connected is how many sidecars are connected at the same time.
const connected = 500

// BenchmarkSidecarMemory connects sidecars, each with an SVID of its own, its mutually authenticated
// connection and its stream of services, to the real binary in a process of its own, and reports what the
// kernel counts for that process beyond what it had before, and what of it is live.
//
//	go test -run '^$' -bench SidecarMemory -count 3 ./broker/brokertest
func BenchmarkSidecarMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	l := startLone(b, loneOptions{policy: somePolicy, services: someServices})
	_, stop := l.connect(b, 1) // what is made once is not a sidecar's
	stop()
	before := l.settled(b)
	_, stop = l.connect(b, connected)
	after := l.settled(b)
	stop()
	b.ReportMetric(0, "ns/op") // memory, not time: once is enough, whatever b.N is
	b.ReportMetric(float64(before.resident)/(1<<20), "MiB-alone")
	b.ReportMetric(float64(after.resident-before.resident)/(1<<10)/connected, "KiB/sidecar")
	b.ReportMetric(float64(after.live-before.live)/(1<<10)/connected, "live-KiB/sidecar")
}

// lone is a broker that is alone in its process.
type lone struct {
	*stack.Process
	domain      *embedded.Domain
	dir         string
	mesh, admin string
}

// loneOptions say what it is started with.
type loneOptions struct {
	policy, services string
	// store returns the store's part of the configuration; nil means a sealed file.
	store func(*embedded.Domain) string
	// env is added to the environment.
	env []string
}

func startLone(b *testing.B, o loneOptions) *lone {
	b.Helper()
	dir, err := os.MkdirTemp("", "im-") // the path of a Unix socket has 107 bytes
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary := filepath.Join(dir, "intercom-broker")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, "../../cmd/intercom-broker").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	l := &lone{dir: dir, mesh: freeAddress(b), admin: freeAddress(b)}
	l.domain, err = embedded.New(embedded.Config{})
	must(b, err)
	l.serveIdentity(b)
	_, err = sealed.CreateKey(filepath.Join(dir, "key"))
	must(b, err)
	for name, content := range map[string]string{
		"policy/policy.csv": o.policy, "services/services.yaml": o.services, "broker.yaml": l.file(b, o),
	} {
		must(b, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(b, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	l.Process, err = stack.Start(b.Context(), stack.Command{
		Name: "intercom-broker", Path: binary, Args: []string{"--config", "broker.yaml", "--unsafe-web-plaintext"}, Dir: dir,
		Log: filepath.Join(dir, "log"), Env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, o.env...),
		Ready: func(ctx context.Context) error {
			return is(ctx, application(), http.StatusOK, "http://"+l.admin+"/readyz")
		},
	})
	must(b, err)
	b.Cleanup(func() { _ = l.Stop() })
	return l
}

func (l *lone) serveIdentity(b *testing.B) {
	api, err := l.domain.Listen(filepath.Join(l.dir, "b.sock"), l.domain.ID("/broker"))
	must(b, err)
	ctx, stop := context.WithCancel(context.Background())
	go func() { _ = api.Run(ctx) }()
	b.Cleanup(stop)
}

func (l *lone) file(b *testing.B, o loneOptions) string {
	store := fmt.Sprintf(`sealed: { path: store, key: "file:%s/key" }`, l.dir)
	if o.store != nil {
		store = o.store(l.domain)
	}
	return fmt.Sprintf(`version: 1
issuer: https://broker.intercom.test
identity: { socket: "unix://%[1]s/b.sock" }
listen: { mesh: "%[2]s", egress: "%[3]s", web: { address: "%[4]s" }, admin: "%[5]s" }
policy: policy
services: services
store: { %[6]s }
audit: { dir: audit }
`, l.dir, l.mesh, freeAddress(b), freeAddress(b), l.admin, store)
}

// connect connects so many sidecars, and returns when each of them has its list of services.
func (l *lone) connect(b *testing.B, sidecars int) (clients []*client.Client, stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	clients = make([]*client.Client, sidecars)
	var all errgroup.Group
	all.SetLimit(16)
	for i := range clients {
		all.Go(func() (err error) {
			clients[i], err = client.New(client.Config{
				Addresses: []string{l.mesh}, Source: l.domain.Source(l.domain.ID(fmt.Sprintf("/service-%d", i))),
				Brokers: tlsconfig.AuthorizeID(l.domain.ID("/broker")), Timeout: time.Minute, Patience: time.Minute,
			})
			if err != nil {
				return err
			}
			listed := make(chan error, 1)
			go func() {
				for _, err := range clients[i].WatchServices(ctx) {
					select {
					case listed <- err:
					default: // it stays connected
					}
				}
			}()
			return <-listed
		})
	}
	must(b, all.Wait())
	return clients, func() {
		cancel()
		for _, c := range clients {
			_ = c.Close()
		}
	}
}

// memory is what a process takes, in bytes.
type memory struct {
	resident int64 // as the kernel counts
	live     int64 // in spans of the heap and in stacks, after a collection
}

// settled collects the process's garbage and looks until the kernel has back what it gets back.
func (l *lone) settled(b *testing.B) (m memory) {
	b.Helper()
	m.resident = 1 << 62
	for since := time.Now(); time.Since(since) < 5*time.Second; {
		status, _, _, err := get(b.Context(), application(), http.MethodGet, "http://"+l.admin+"/debug/pprof/heap?gc=1")
		if err != nil || status != http.StatusOK {
			b.Fatal(status, err)
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.PID()))
		must(b, err)
		if now := number(b, string(text), "VmRSS:") << 10; now < m.resident-64<<10 {
			m.resident, since = now, time.Now()
		}
		<-time.After(250 * time.Millisecond)
	}
	text := l.metrics(b)
	m.live = number(b, text, "\ngo_memstats_heap_inuse_bytes ") + number(b, text, "\ngo_memstats_stack_inuse_bytes ")
	return m
}

func (l *lone) metrics(b *testing.B) string {
	b.Helper()
	_, text, _, err := get(b.Context(), application(), http.MethodGet, "http://"+l.admin+"/metrics")
	must(b, err)
	return text
}

// number returns the number after name.
func number(b *testing.B, text, name string) int64 {
	b.Helper()
	_, rest, _ := strings.Cut(text, name)
	var n float64
	if _, err := fmt.Fscan(strings.NewReader(rest), &n); err != nil && err != io.EOF {
		b.Fatalf("%s: %v", name, err)
	}
	return int64(n)
}
