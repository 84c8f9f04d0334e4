package vault_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/deploy/stack"
)

const renewPath = "auth/token/renew-self"

// tapped is a Store that reaches Vault through a tap, with a role of its own.
func tapped(t *testing.T, role map[string]any) (*fixture, *tap, *vault.Store) {
	t.Helper()
	f := setUp(t, stack.Vault(t))
	f.role(t, "broker", role)
	f.put(t, "crm/login", map[string]any{"password": planted})
	tap := newTap(t, f)
	cfg := f.config(t)
	cfg.Address = tap.URL
	return f, tap, open(t, cfg)
}

// load reads with several readers at once for that long, and returns how many reads failed.
func load(t *testing.T, s *vault.Store, readers int, d time.Duration) (failed int32) {
	t.Helper()
	var wg sync.WaitGroup
	var n atomic.Int32
	for range readers {
		wg.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if _, err := s.Read(t.Context(), "crm/login"); err != nil && n.Add(1) == 1 {
					t.Log(err)
				}
			}
		})
	}
	wg.Wait()
	return n.Load()
}

// TestLifeOfALogin has short tokens of each sort, and Vault or somebody in between in the way of renewals.
func TestLifeOfALogin(t *testing.T) {
	if testing.Short() {
		t.Skip("lasts some seconds")
	}
	t.Parallel()
	var wg sync.WaitGroup // not subtests: these would wait for each other on a machine of two cores
	for name, c := range map[string]struct {
		role             map[string]any
		renew            http.HandlerFunc // in Vault's place
		least, most      int              // logins in twelve seconds
		fewest, mostEver int              // renewals
	}{
		// 5 s are renewed after 2.8 to 3.3 s, so three or four times.
		"renewed": {map[string]any{"token_ttl": 5}, nil, 1, 1, 2, 4},
		// The second renewal is cut: a login each 5.7 to 6.7 s.
		"max TTL": {map[string]any{"token_ttl": 5, "token_max_ttl": 8}, nil, 2, 3, 2, 4},
		// Vault counts the life of a batch token in whole seconds, so that 6 s may be five.
		"not renewable": {map[string]any{"token_ttl": 6, "token_type": "batch"}, nil, 3, 4, 0, 0},
		"renewal refused": {
			map[string]any{"token_ttl": 5}, status(http.StatusForbidden, `{"errors":["permission denied"]}`), 4, 5, 3, 4,
		},
	} {
		_, tap, s := tapped(t, c.role)
		tap.instead(renewPath, c.renew)
		wg.Go(func() {
			if failed := load(t, s, 4, 12*time.Second); failed > 0 {
				t.Errorf("%s: %d reads failed", name, failed)
			}
			if n := tap.loginCount(); n < c.least || n > c.most {
				t.Errorf("%s: %d logins, want %d to %d", name, n, c.least, c.most)
			}
			if n := tap.refusedBy(renewPath); n > 0 {
				t.Errorf("%s: Vault refused %d renewals", name, n)
			}
			if n := tap.count(renewPath); n < c.fewest || n > c.mostEver {
				t.Errorf("%s: %d renewals, want %d to %d", name, n, c.fewest, c.mostEver)
			}
		})
	}
	wg.Wait()
}

// TestRenewalOutageRevokesNothing lets renewals fail for a while: the login goes on, and no other is made.
func TestRenewalOutageRevokesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("lasts some seconds")
	}
	t.Parallel()
	_, tap, s := tapped(t, map[string]any{"token_ttl": 9})
	tap.instead(renewPath, status(http.StatusInternalServerError, `{"errors":["internal error"]}`))
	if failed := load(t, s, 2, 7*time.Second); failed > 0 || tap.loginCount() != 1 {
		t.Errorf("%d reads failed, %d logins", failed, tap.loginCount())
	}
	if n := tap.count(renewPath); n < 1 || n > 10 {
		t.Errorf("%d renewals tried in one or two seconds", n)
	}
	tap.instead(renewPath, nil)
	if failed := load(t, s, 2, 3*time.Second); failed > 0 || tap.loginCount() != 1 {
		t.Errorf("afterwards: %d reads failed, %d logins", failed, tap.loginCount())
	}
}

// TestOutageUntilTheEnd outlasts the login: reads fail with the reason, and go on afterwards.
func TestOutageUntilTheEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("lasts some seconds")
	}
	t.Parallel()
	_, tap, s := tapped(t, map[string]any{"token_ttl": 2})
	ready(t, s)
	sealed := status(http.StatusServiceUnavailable, `{"errors":["Vault is sealed"]}`)
	tap.instead(renewPath, sealed)
	tap.instead(tap.logins, sealed)
	eventually(t, "the end of the login", func() bool { return s.Ready() != nil })
	fails(t, s, fault.Unavailable, vault.ReasonSealed)
	before := tap.loginCount()
	if failed := load(t, s, 16, 2*time.Second); failed == 0 {
		t.Error("reads without a login")
	}
	if n := tap.loginCount() - before; n > 6 { // 0.25, 0.5, 1 s, each less up to a half
		t.Errorf("16 callers made %d logins in 2 s", n)
	}
	tap.instead(tap.logins, nil)
	tap.instead(renewPath, nil)
	eventually(t, "a read", func() bool { return read(t.Context(), s) == nil })
}

func TestOneLoginForAll(t *testing.T) {
	_, tap, s := tapped(t, nil)
	if failed := load(t, s, 200, 200*time.Millisecond); failed > 0 || tap.loginCount() != 1 {
		t.Errorf("%d reads failed, %d logins", failed, tap.loginCount())
	}
}

// TestRevokedByOthers takes the token away under load: one login more, and no failed read.
func TestRevokedByOthers(t *testing.T) {
	f, tap, s := tapped(t, nil)
	reads(t, s, "crm/login")
	token := tap.token()
	time.Sleep(2100 * time.Millisecond) // until a look at the token is due
	f.Call(t, http.MethodPost, "auth/token/revoke", map[string]any{"token": token})
	if failed := load(t, s, 32, 300*time.Millisecond); failed > 0 {
		t.Errorf("%d reads failed", failed)
	}
	if n, looks := tap.loginCount(), tap.count("auth/token/lookup-self"); n != 2 || looks != 1 {
		t.Errorf("%d logins, %d looks at the token", n, looks)
	}
}

// TestDeniedForGoodIsCheap reads what the policy forbids, again and again, with a token that may not even
// look at itself and so seems dead.
func TestDeniedForGoodIsCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("lasts some seconds")
	}
	for name, most := range map[string]int{"default policy": 1, "no default policy": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, tap, s := tapped(t, map[string]any{"token_no_default_policy": most > 1})
			f.Call(t, http.MethodPut, "sys/policies/acl/"+f.policy, map[string]any{"policy": rules("elsewhere")})
			if failed := load(t, s, 8, 4*time.Second); failed == 0 {
				t.Error("nothing was denied")
			}
			fails(t, s, fault.Internal, vault.ReasonPermissionDenied)
			if n, looks := tap.loginCount(), tap.count("auth/token/lookup-self"); n > most || looks > 3 {
				t.Errorf("%d logins, %d looks at the token in 4 s", n, looks)
			}
		})
	}
}

func TestCloseRevokesTheLogin(t *testing.T) {
	f, tap, s := tapped(t, nil)
	reads(t, s, "crm/login")
	token := tap.token()
	f.Call(t, http.MethodPost, "auth/token/lookup", map[string]any{"token": token})
	s.Close()
	if _, err := f.Do(t.Context(), http.MethodPost, "auth/token/lookup", map[string]any{"token": token}); err == nil {
		t.Error("the login outlives the store")
	}
	fails(t, s, fault.Internal, vault.ReasonClosed)
	if s.Ready() == nil {
		t.Error("ready after Close")
	}
	s.Close()
}

// TestCallerGoesAway cancels callers who wait for a login that hangs.
func TestCallerGoesAway(t *testing.T) {
	_, tap, s := tapped(t, nil)
	release := make(chan struct{})
	defer close(release)
	tap.instead(tap.logins, func(http.ResponseWriter, *http.Request) { <-release })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	for _, err := range []error{read(ctx, s), list(ctx, s), s.Delete(ctx, "crm/login")} {
		if !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.Timeout {
			t.Errorf("got %v", err)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
}

// stuck is an identity that does not come, and does not mind the context.
type stuck struct {
	nobody
	release chan struct{}
}

func (s stuck) FetchJWTSVID(context.Context, string) (*jwtsvid.SVID, error) {
	<-s.release
	return nil, errors.New("too late")
}

func TestStuckIdentity(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	cfg := f.config(t)
	id := stuck{release: make(chan struct{})}
	cfg.Identity, cfg.Timeout = id, 100*time.Millisecond
	s := open(t, cfg)
	defer close(id.release)
	fails(t, s, fault.Unavailable, vault.ReasonSlow)
}

func read(ctx context.Context, s *vault.Store) error {
	_, err := s.Read(ctx, "crm/login")
	return err
}

func list(ctx context.Context, s *vault.Store) error {
	_, err := s.List(ctx, "crm")
	return err
}

// TestWritersInTwoProcesses lets two Stores race for one name, as two replicas would.
func TestWritersInTwoProcesses(t *testing.T) {
	f, _, a := tapped(t, nil)
	b := open(t, f.config(t))
	var wg sync.WaitGroup
	for _, s := range []*vault.Store{a, b} {
		for range 10 {
			wg.Go(func() {
				if _, err := s.Write(t.Context(), "crm/race", credential.Fields{"k": secret.FromString("v")}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if got, err := a.Read(t.Context(), "crm/race"); err != nil || got.Version != 20 {
		t.Errorf("version %d after 20 writes, %v", got.Version, err)
	}
}
