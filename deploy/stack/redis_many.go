package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sentinelName is what the sentinels call the primary that they watch.
const sentinelName = "sessions"

// agreeWithin bounds the wait until servers that all run know each other: gossip takes a second or two.
const agreeWithin = 30 * time.Second

// RedisGroup is several redis-server processes that belong together: a primary with its replicas and
// sentinels, or a cluster.
type RedisGroup struct {
	// Addrs are where a client starts: the sentinels', or the cluster's nodes'.
	Addrs []string
	// Name is the primary's name at the sentinels; empty for a cluster.
	Name string
	// Servers hold the data: the primary first, or the cluster's nodes.
	Servers []*RedisServer

	sentinels []*RedisServer
}

// StartRedisSentinel starts a primary with replicas and three sentinels, two of which decide on a
// failover after one second. All end with the test.
func StartRedisSentinel(t testing.TB, replicas int) *RedisGroup {
	t.Helper()
	skipShort(t)
	g := &RedisGroup{Name: sentinelName}
	err := withPorts(1+replicas+3, func(ports []int) error {
		*g = RedisGroup{Name: sentinelName}
		return g.openSentinel(context.Background(), ports, replicas)
	})
	require(t, err)
	stopAfter(t, g)
	return g
}

// StartRedisCluster starts a cluster of three nodes without replicas, which ends with the test.
func StartRedisCluster(t testing.TB) *RedisGroup {
	t.Helper()
	skipShort(t)
	g := &RedisGroup{}
	err := withPorts(6, func(ports []int) error {
		*g = RedisGroup{}
		return g.openCluster(context.Background(), ports)
	})
	require(t, err)
	stopAfter(t, g)
	return g
}

func (g *RedisGroup) openSentinel(ctx context.Context, ports []int, replicas int) (err error) {
	defer func() {
		if err != nil {
			_ = g.Stop()
		}
	}()
	for i := range 1 + replicas {
		var more []string
		if i > 0 {
			more = []string{"--replicaof", "127.0.0.1", strconv.Itoa(ports[0])}
		}
		if err := g.add(ctx, &g.Servers, ports[i], more...); err != nil {
			return err
		}
	}
	for _, port := range ports[1+replicas:] {
		if err := g.addSentinel(ctx, port, ports[0]); err != nil {
			return err
		}
		g.Addrs = append(g.Addrs, addr(port))
	}
	return g.settled(ctx, replicas)
}

func (g *RedisGroup) add(ctx context.Context, to *[]*RedisServer, port int, more ...string) error {
	r, err := openRedis(ctx, port, RedisOptions{}, more...)
	if err == nil {
		*to = append(*to, r)
	}
	return err
}

// addSentinel writes the file that a sentinel keeps its knowledge in, and starts one on it.
func (g *RedisGroup) addSentinel(ctx context.Context, port, primary int) error {
	dir, remove, err := newDir()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "sentinel.conf")
	config := fmt.Sprintf(`port %[1]d
bind 127.0.0.1
dir %[2]s
sentinel monitor %[3]s 127.0.0.1 %[4]d 2
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 4000
`, port, dir, sentinelName, primary)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		remove()
		return fmt.Errorf("stack: %w", err)
	}
	program, err := findRedis(ctx)
	if err != nil {
		remove()
		return err
	}
	s := &RedisServer{Addr: addr(port), dir: dir, port: port, remove: remove}
	s.Process, err = Start(ctx, Command{
		Name: "sentinel " + s.Addr, Path: program, Args: []string{file, "--sentinel"},
		Dir: dir, Log: filepath.Join(dir, "sentinel.log"), Ready: s.answers,
	})
	if err != nil {
		remove()
		return err
	}
	g.sentinels = append(g.sentinels, s)
	return nil
}

// settled waits until the replicas follow and every sentinel knows them and the other sentinels: before
// that no failover comes about.
func (g *RedisGroup) settled(ctx context.Context, replicas int) error {
	return poll(ctx, agreeWithin, func() error {
		for _, s := range g.sentinels {
			info, err := s.Do(ctx, "INFO", "sentinel")
			if err != nil {
				return err
			}
			if want := fmt.Sprintf("slaves=%d,sentinels=3", replicas); !strings.Contains(info, want) {
				return fmt.Errorf("want %s, have %s", want, info)
			}
		}
		for _, r := range g.Servers[1:] {
			if info, err := r.Do(ctx, "INFO", "replication"); err != nil || !strings.Contains(info, "master_link_status:up") {
				return errors.Join(err, errors.New("a replica does not follow yet"))
			}
		}
		return nil
	})
}

// slots is how many a cluster spreads its keys over.
const slots = 16384

func (g *RedisGroup) openCluster(ctx context.Context, ports []int) (err error) {
	defer func() {
		if err != nil {
			_ = g.Stop()
		}
	}()
	nodes := len(ports) / 2
	for i := range nodes {
		err := g.add(ctx, &g.Servers, ports[i], "--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
			"--cluster-port", strconv.Itoa(ports[nodes+i]), "--cluster-config-file", "nodes.conf")
		if err != nil {
			return err
		}
		r := g.Servers[i]
		g.Addrs = append(g.Addrs, r.Addr)
		from, to := i*slots/nodes, (i+1)*slots/nodes-1
		if _, err := r.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to)); err != nil {
			return err
		}
		if _, err := r.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(ports[0]), strconv.Itoa(ports[nodes])); err != nil && i > 0 {
			return err
		}
	}
	return poll(ctx, agreeWithin, func() error {
		for _, r := range g.Servers {
			info, err := r.Do(ctx, "CLUSTER", "INFO")
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", nodes)) {
				return errors.Join(err, errors.New("a node does not know the others yet"))
			}
		}
		return nil
	})
}

// Primary returns the server that the sentinels take for the primary.
func (g *RedisGroup) Primary(t testing.TB) *RedisServer {
	t.Helper()
	for _, s := range g.sentinels {
		out, err := s.Do(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinelName)
		if err != nil {
			continue
		}
		fields := strings.Fields(out)
		for _, r := range g.Servers {
			if len(fields) == 2 && r.Addr == fields[0]+":"+fields[1] {
				return r
			}
		}
	}
	t.Fatal("no sentinel names a primary")
	return nil
}

// Failover has the sentinels make a replica the primary, with the old one alive and well, as an operator
// does before he works on it. It returns when they agreed to.
func (g *RedisGroup) Failover(t testing.TB) {
	t.Helper()
	g.sentinels[0].Call(t, "SENTINEL", "FAILOVER", sentinelName)
}

// Stop ends all processes and removes their files.
func (g *RedisGroup) Stop() error {
	var errs []error
	for _, r := range append(g.sentinels, g.Servers...) {
		errs = append(errs, r.Stop())
	}
	return errors.Join(errs...)
}

func (g *RedisGroup) processes() (all []*Process) {
	for _, r := range append(append([]*RedisServer(nil), g.Servers...), g.sentinels...) {
		all = append(all, r.Process)
	}
	return all
}
