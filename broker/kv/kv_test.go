package kv_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// slack is by how much a loaded machine may be late.
const slack = 5

// news is what a client was told.
type news struct{ keys chan []string }

func (n news) changed(keys []string) { n.keys <- keys }

// await waits until the client was told of key, or of everything when key is empty.
func (n news) await(t *testing.T, key string) {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		select {
		case keys := <-n.keys:
			if key == "" && keys == nil || slices.Contains(keys, key) {
				return
			}
		case <-deadline:
			t.Fatalf("never heard of %q", key)
		}
	}
}

func open(t *testing.T, c kv.Config, password string) (*kv.Client, news) {
	t.Helper()
	n := news{make(chan []string, 1000)}
	client, err := kv.Open(c, kv.Options{Password: secret.FromString(password), Track: "ic:s:", Changed: n.changed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, n
}

func set(t *testing.T, c *kv.Client, key, value string) {
	t.Helper()
	if _, err := c.Do(t.Context(), c.B().Set().Key(key).Value(value).Ex(time.Minute).Build()); err != nil {
		t.Fatal(err)
	}
}

// shapes are the four that operators have.
func shapes() map[string]func(t *testing.T) (kv.Config, string) {
	return map[string]func(*testing.T) (kv.Config, string){
		"single": func(t *testing.T) (kv.Config, string) {
			return kv.Config{Addresses: []string{stack.Redis(t).Addr}}, ""
		},
		"guarded": func(t *testing.T) (kv.Config, string) {
			r := stack.StartRedis(t, stack.RedisOptions{Guarded: true})
			return kv.Config{Addresses: []string{r.Addr}, TLS: &kv.TLS{CA: r.CACert}, Username: r.Username}, r.Password
		},
		"sentinel": func(t *testing.T) (kv.Config, string) {
			g := stack.StartRedisSentinel(t, 1)
			return kv.Config{Addresses: g.Addrs, Sentinel: kv.Sentinel{Primary: g.Name}}, ""
		},
		"cluster": func(t *testing.T) (kv.Config, string) {
			return kv.Config{Addresses: stack.StartRedisCluster(t).Addrs, Cluster: true}, ""
		},
	}
}

// TestChangesAreHeard writes keys by one client that another has read: three, so that a cluster has them
// on several nodes.
func TestChangesAreHeard(t *testing.T) {
	for name, shape := range shapes() {
		t.Run(name, func(t *testing.T) {
			c, password := shape(t)
			writer, _ := open(t, c, password)
			reader, heard := open(t, c, password)
			for _, key := range []string{"ic:s:{a}", "ic:s:{b}", "ic:s:{c}"} {
				if _, err := reader.Do(t.Context(), reader.B().Get().Key(key).Build()); !kv.IsNil(err) {
					t.Fatalf("a key that is not there: %v", err)
				}
				set(t, writer, key, "1")
				heard.await(t, key)
				if _, err := writer.Do(t.Context(), writer.B().Del().Key(key).Build()); err != nil {
					t.Fatal(err)
				}
				heard.await(t, key)
			}
		})
	}
}

// TestSilenceIsNoticed freezes the server: neither a RST nor a FIN tells that it is gone.
func TestSilenceIsNoticed(t *testing.T) {
	r := stack.StartRedis(t, stack.RedisOptions{})
	client, heard := open(t, kv.Config{Addresses: []string{r.Addr}}, "")
	set(t, client, "ic:s:{a}", "1")
	heard.await(t, "ic:s:{a}")
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	heard.await(t, "")
	if took := time.Since(began); took > slack*time.Second {
		t.Errorf("noticed after %s", took)
	}
	began = time.Now()
	err := client.Ping(t.Context())
	if e := fault.From(err); e.Kind != fault.Unavailable || e.RetryAfter == 0 {
		t.Errorf("a frozen server: %v", err)
	}
	if took := time.Since(began); took > slack*time.Second {
		t.Errorf("said so after %s", took)
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	answers(t, client)
	set(t, client, "ic:s:{a}", "2")
	heard.await(t, "ic:s:{a}")
}

func answers(t *testing.T, c *kv.Client) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := c.Ping(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestAQuietConnectionIsKept waits for longer than the silence that counts as an end: the pings keep it.
func TestAQuietConnectionIsKept(t *testing.T) {
	var lost atomic.Int32
	const silence = 4 * time.Second // of which a machine that stands still has half
	client, err := kv.Open(kv.Config{Addresses: []string{stack.Redis(t).Addr}, Silence: strict.Duration(silence)}, kv.Options{Track: "ic:s:", Changed: func(keys []string) {
		if keys == nil {
			lost.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	<-time.After(silence + time.Second)
	if n := lost.Load(); n != 0 {
		t.Errorf("given up %d times while it was well", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	guarded := stack.StartRedis(t, stack.RedisOptions{Guarded: true})
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, web := stack.Redis(t), httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	good := kv.Config{Addresses: []string{guarded.Addr}, TLS: &kv.TLS{CA: guarded.CACert}, Username: guarded.Username}
	for name, c := range map[string]struct {
		change   func(*kv.Config)
		password string
		says     string
	}{
		"another password": {func(*kv.Config) {}, "wrong", "WRONGPASS"},
		"an unknown CA":    {func(c *kv.Config) { c.TLS = &kv.TLS{} }, guarded.Password, "certificate"},
		"another name":     {func(c *kv.Config) { c.TLS = &kv.TLS{CA: guarded.CACert, ServerName: "other"} }, guarded.Password, "other"},
		"an empty CA file": {func(c *kv.Config) { c.TLS = &kv.TLS{CA: empty} }, guarded.Password, "holds no certificate"},
		"no TLS there":     {func(c *kv.Config) { c.Addresses = []string{plain.Addr} }, guarded.Password, kv.SpeaksPlainly},
		"a web server":     {func(c *kv.Config) { c.Addresses, c.TLS = []string{web.Listener.Addr().String()}, nil }, guarded.Password, kv.SpeaksHTTP},
		"no server":        {func(c *kv.Config) { c.Addresses = []string{"127.0.0.1:1"} }, guarded.Password, "refused"},
	} {
		config := good
		c.change(&config)
		client, err := kv.Open(config, kv.Options{Password: secret.FromString(c.password)})
		if err == nil {
			client.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
}

// TestRefusalsAreNotAbsence lets the server refuse a command: nobody may take that for "not there".
func TestRefusalsAreNotAbsence(t *testing.T) {
	guarded := stack.StartRedis(t, stack.RedisOptions{Guarded: true})
	client, _ := open(t, kv.Config{Addresses: []string{guarded.Addr}, TLS: &kv.TLS{CA: guarded.CACert}, Username: guarded.Username}, guarded.Password)
	_, err := client.Do(t.Context(), client.B().Get().Key("not-ours").Build())
	if !errors.Is(err, fault.Unavailable) || kv.IsNil(err) {
		t.Errorf("a refused command: %v", err)
	}
	_, err = client.Run(t.Context(), kv.NewScript(`return redis.call('GET', KEYS[1])`), []string{"ic:s:{a}"}, nil)
	if !kv.IsNil(err) {
		t.Errorf("a script that finds nothing: %v", err)
	}
}
