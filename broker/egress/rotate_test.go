package egress_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// vault is a real store that does not tell of its changes, as Vault does not, before a real cache: what is
// written is not seen for half a minute, unless somebody doubts what he has.
type vault struct {
	*credential.Cache
	store credential.Store
	reads atomic.Int64
	out   atomic.Bool
}

func newVault(t testing.TB) *vault {
	t.Helper()
	s, err := sealed.Open(sealed.Config{Path: t.TempDir() + "/sealed", Key: sealed.NewKey()})
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{store: s}
	v.Cache = credential.NewCache(silent{s, v}, credential.CacheConfig{})
	return v
}

// silent hides the store's generation.
type silent struct {
	credential.Store
	vault *vault
}

func (s silent) Read(ctx context.Context, name credential.Name) (credential.Credential, error) {
	s.vault.reads.Add(1)
	if s.vault.out.Load() {
		return credential.Credential{}, fault.New(fault.Unavailable, "STORE_AWAY", "away")
	}
	return s.Store.Read(ctx, name)
}

func (v *vault) put(t testing.TB, name string, pairs ...string) {
	t.Helper()
	f := credential.Fields{}
	for i := 0; i < len(pairs); i += 2 {
		f[pairs[i]] = secret.FromString(pairs[i+1])
	}
	if _, err := v.store.Write(t.Context(), credential.Name(name), f); err != nil {
		t.Fatal(err)
	}
}

// picky is a service that takes one token and answers 401 to all others.
type picky struct {
	accept atomic.Pointer[string]
	mu     sync.Mutex
	seen   []string // method, token and body of each request
}

func newPicky(token string) *picky {
	p := &picky{}
	p.accept.Store(&token)
	return p
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+token+" "+string(body))
	p.mu.Unlock()
	if token != *p.accept.Load() {
		w.Header().Set("Www-Authenticate", "Bearer")
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, "welcome")
}

func (p *picky) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

const tokenService = "    inject: { bearer: { credential: crm/token } }\n"

// rotating is a door whose service takes what the vault has. The door's clock stands still but for what the
// test adds.
func rotating(t *testing.T, change ...func(*egress.Config)) (*door, *vault, *picky, *atomic.Int64) {
	t.Helper()
	v, p, ahead, began := newVault(t), newPicky("token-one"), &atomic.Int64{}, time.Now()
	v.put(t, "crm/token", "token", "token-one")
	_, flow := upstream(t, p.ServeHTTP)
	d := newDoor(t, "  crm:\n    upstream: "+flow+"\n"+tokenService, append(change, func(cfg *egress.Config) {
		cfg.Vender = v
		cfg.Now = func() time.Time { return began.Add(time.Duration(ahead.Load())) }
	})...)
	return d, v, p, ahead
}

func (p *picky) rotate(t *testing.T, v *vault, token string) {
	t.Helper()
	v.put(t, "crm/token", "token", token)
	p.accept.Store(&token)
}

// TestRotationIsNotNoticed: the store and the service have a new version, the cache has not. The caller gets
// its answer all the same, and the audit log the version that was used last.
func TestRotationIsNotNoticed(t *testing.T) {
	for _, method := range []string{"GET", "DELETE", "POST"} {
		registry := prometheus.NewRegistry()
		d, v, p, _ := rotating(t, func(cfg *egress.Config) { cfg.Metrics = egress.NewMetrics(registry) })
		c := d.client(t, "http/1.1")
		if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 200 || d.journal.outcome(t, a.Decision()).Version != 1 {
			t.Fatalf("before: %d %s", a.StatusCode, a.Text)
		}
		p.rotate(t, v, "token-two")
		a := doortest.Do(t, c, method, "https://door.test/crm/")
		if e := d.journal.outcome(t, a.Decision()); a.StatusCode != 200 || a.Text != "welcome" || e.Version != 2 || e.Credential != "crm/token" {
			t.Errorf("%s: %d %s, version %d", method, a.StatusCode, a.Text, e.Version)
		}
		if n := p.count(); n != 3 {
			t.Errorf("%s: the service was asked %d times", method, n)
		}
		if n := telemetrytest.Value(t, registry, "intercom_egress_repeats_total"); n != 1 {
			t.Errorf("%s: %v repeats are counted", method, n)
		}
	}
}

// TestRotationUnderLoad: of many at once each gets its answer, and the store is asked once.
func TestRotationUnderLoad(t *testing.T) {
	d, v, p, _ := rotating(t)
	c := d.client(t, "h2")
	doortest.Do(t, c, "GET", "https://door.test/crm/")
	p.rotate(t, v, "token-two")
	before := v.reads.Load()
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 200 {
				t.Errorf("%d %s", a.StatusCode, a.Text)
			}
		})
	}
	all.Wait()
	if n := v.reads.Load() - before; n != 1 {
		t.Errorf("%d questions", n)
	}
}

// TestPlain401 holds that a 401 that has nothing to do with versions passes as it is, and costs the store one
// question in a second, however many there are.
func TestPlain401(t *testing.T) {
	d, v, p, ahead := rotating(t)
	other := "another"
	p.accept.Store(&other)
	c := d.client(t, "http/1.1")
	for range 10 {
		a := doortest.Do(t, c, "GET", "https://door.test/crm/")
		if a.StatusCode != 401 || a.Text != "who are you?\n" || a.Header.Get("Www-Authenticate") != "Bearer" {
			t.Fatalf("%d %s", a.StatusCode, a.Text)
		}
	}
	if n := v.reads.Load(); n != 2 || p.count() != 10 { // the first, and one for the doubt

		t.Errorf("%d questions, %d requests", n, p.count())
	}
	before := v.reads.Load()
	ahead.Store(int64(2 * time.Second))
	doortest.Do(t, c, "GET", "https://door.test/crm/")
	if n := v.reads.Load() - before; n != 1 {
		t.Errorf("%d questions in another second", n)
	}
}

// TestOutageIsBridgedAfterDoubt: a 401 while the store is away must not cost the callers what they have.
func TestOutageIsBridgedAfterDoubt(t *testing.T) {
	d, v, p, _ := rotating(t)
	c := d.client(t, "http/1.1")
	doortest.Do(t, c, "GET", "https://door.test/crm/")
	v.out.Store(true)
	other, one := "another", "token-one"
	p.accept.Store(&other)
	if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 401 {
		t.Errorf("%d %s", a.StatusCode, a.Text)
	}
	p.accept.Store(&one)
	if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 200 {
		t.Errorf("the outage cost the credential: %d %s", a.StatusCode, a.Text)
	}
}

// TestBodyThatHasGoneByIsNotRepeated: it is not kept for this, so the 401 passes; but the caller's own second
// attempt has the new credential at once.
func TestBodyThatHasGoneByIsNotRepeated(t *testing.T) {
	d, v, p, _ := rotating(t)
	c := d.client(t, "http/1.1")
	doortest.Do(t, c, "GET", "https://door.test/crm/")
	p.rotate(t, v, "token-two")
	body := func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("order")), 5
	}
	if a := doortest.Do(t, c, "POST", "https://door.test/crm/", body); a.StatusCode != 401 || d.journal.outcome(t, a.Decision()).Version != 1 {
		t.Errorf("%d %s", a.StatusCode, a.Text)
	}
	if a := doortest.Do(t, c, "POST", "https://door.test/crm/", body); a.StatusCode != 200 || d.journal.outcome(t, a.Decision()).Version != 2 {
		t.Errorf("the second attempt: %d %s", a.StatusCode, a.Text)
	}
	if got := fmt.Sprint(p.seen); got != "[GET token-one  POST token-one order POST token-two order]" {
		t.Error(got)
	}
}

// TestSignedBodyIsRepeated: what was read for a signature is there for a second one.
func TestSignedBodyIsRepeated(t *testing.T) {
	v := newVault(t)
	v.put(t, "crm/hmac", "key", "one")
	var first atomic.Pointer[string]
	var bodies atomic.Int64
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); string(b) == "order" {
			bodies.Add(1)
		}
		s := r.Header.Get("X-Signature")
		if first.CompareAndSwap(nil, &s) || s == *first.Load() {
			v.put(t, "crm/hmac", "key", "two")
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	d := newDoor(t, "  crm:\n    upstream: "+flow+"\n    inject: { hmac: { credential: crm/hmac } }\n", func(cfg *egress.Config) { cfg.Vender = v })
	a := doortest.Do(t, d.client(t, "h2"), "POST", "https://door.test/crm/", func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("order")), -1
	})
	if e := d.journal.outcome(t, a.Decision()); a.StatusCode != 200 || bodies.Load() != 2 || e.Version != 2 {
		t.Errorf("%d, the body came %d times, version %d", a.StatusCode, bodies.Load(), e.Version)
	}
}

// TestUnusableNewVersion: a new version that cannot be put in is no reason to fail what was answered.
func TestUnusableNewVersion(t *testing.T) {
	d, v, p, _ := rotating(t)
	c := d.client(t, "http/1.1")
	doortest.Do(t, c, "GET", "https://door.test/crm/")
	p.rotate(t, v, "token two")
	if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 401 || d.journal.outcome(t, a.Decision()).Version != 1 {
		t.Errorf("%d %s", a.StatusCode, a.Text)
	}
}

// TestUpgradeIsRepeated: a handshake has no body, so it is sent again like any other, and the connection lives.
func TestUpgradeIsRepeated(t *testing.T) {
	v, two := newVault(t), "key-two"
	v.put(t, "crm/key", "value", "key-one")
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query()["key"]; len(got) != 1 || got[0] != two {
			v.put(t, "crm/key", "value", two)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.Header.Set("Authorization", basic) // which talk asks for
		talk(w, r)
	})
	d := newDoor(t, "  crm:\n    upstream: "+flow+"\n    inject: { query: { name: key, credential: crm/key } }\n", func(cfg *egress.Config) { cfg.Vender = v })
	c := d.dial(t, "/chat?key=theirs&x=1")
	say(t, c, "hello")
}
