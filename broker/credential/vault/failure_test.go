package vault_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// own is a Vault that the test may ill-treat, with a credential in it and a Store that has logged in.
func own(t *testing.T, o stack.VaultOptions) (*fixture, *vault.Store) {
	t.Helper()
	f := setUp(t, stack.StartVault(t, o))
	cfg := f.config(t)
	cfg.Timeout = time.Second
	s := open(t, cfg)
	write(t, s, "crm/login")
	return f, s
}

func TestSealed(t *testing.T) {
	t.Parallel()
	f, s := own(t, stack.VaultOptions{})
	if err := f.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := fails(t, s, fault.Unavailable, vault.ReasonSealed); e.RetryAfter == 0 {
		t.Error("nobody is told when to try again")
	}
	fresh := open(t, f.config(t)) // a broker that starts now
	fails(t, fresh, fault.Unavailable, vault.ReasonSealed)
	if err := fresh.Ready(); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("ready without a login: %v", err)
	}
	if err := f.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	reads(t, s, "crm/login")
	ready(t, fresh)
	reads(t, fresh, "crm/login")
}

func TestUnreachableAndBack(t *testing.T) {
	t.Parallel()
	f, s := own(t, stack.VaultOptions{Persistent: true})
	f.Kill()
	fails(t, s, fault.Unavailable, vault.ReasonUnreachable)
	fails(t, open(t, f.config(t)), fault.Unavailable, vault.ReasonUnreachable)
	if err := f.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	reads(t, s, "crm/login")
}

// TestSlow pauses the server: it takes connections and does not answer.
func TestSlow(t *testing.T) {
	t.Parallel()
	f, s := own(t, stack.VaultOptions{})
	if err := f.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	fails(t, s, fault.Unavailable, vault.ReasonSlow)
	if took := time.Since(began); took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("gave up after %s, with a timeout of 1 s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.Read(ctx, "crm/login")
	wantFault(t, err, fault.Unavailable, vault.ReasonSlow)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's deadline is not in the chain: %v", err)
	}
	cfg := f.config(t)
	cfg.Timeout = time.Second
	fails(t, open(t, cfg), fault.Unavailable, vault.ReasonSlow) // the login
	if err := f.Resume(); err != nil {
		t.Fatal(err)
	}
	reads(t, s, "crm/login")
}

// TestNobodyThere dials an address that drops what is sent to it: a listener whose queue is full.
func TestNobodyThere(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for {
		conn, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			break
		}
		defer func() { _ = conn.Close() }()
	}
	cfg := vault.Config{Address: "https://" + address, Identity: nobodyButToken(t), Timeout: time.Second}
	fails(t, open(t, cfg), fault.Unavailable, vault.ReasonUnreachable)
}

func TestPermissionDenied(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	f.role(t, "reader", map[string]any{"token_policies": f.Policy(t, `path "`+f.kv+`/data/crm/*" { capabilities = ["read"] }`)})
	cfg := f.config(t)
	cfg.Auth.Role = "reader"
	write(t, open(t, f.config(t)), "crm/login")
	s := open(t, cfg)
	reads(t, s, "crm/login")
	_, err := s.Read(t.Context(), "ledger/login")
	wantFault(t, err, fault.Internal, vault.ReasonPermissionDenied)
	_, err = s.Write(t.Context(), "crm/login", login())
	wantFault(t, err, fault.Internal, vault.ReasonPermissionDenied)
	wantFault(t, s.Delete(t.Context(), "crm/login"), fault.Internal, vault.ReasonPermissionDenied)
	_, err = s.List(t.Context(), "")
	wantFault(t, err, fault.Internal, vault.ReasonPermissionDenied)
	reads(t, s, "crm/login")
}

func TestNoMount(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	f.Call(t, http.MethodPut, "sys/policies/acl/"+f.policy, map[string]any{"policy": rules("nowhere")})
	cfg := f.config(t)
	cfg.Mount = "nowhere"
	fails(t, open(t, cfg), fault.Internal, vault.ReasonNoMount)
}

// TestVersion1 points at an engine without versions, where data/crm/login is a name like any other.
func TestVersion1(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	cfg := f.config(t)
	cfg.Mount = f.Mount(t, "kv", map[string]any{"version": "1"})
	f.Call(t, http.MethodPut, "sys/policies/acl/"+f.policy, map[string]any{"policy": rules(cfg.Mount)})
	f.Call(t, http.MethodPost, cfg.Mount+"/data/crm/login", map[string]any{"data": map[string]any{"password": planted}})
	fails(t, open(t, cfg), fault.Internal, vault.ReasonNoMount)
}

func TestRateLimited(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	s := open(t, f.config(t))
	write(t, s, "crm/login")
	quota := "sys/quotas/rate-limit/" + f.kv
	f.Call(t, http.MethodPost, quota, map[string]any{"path": f.kv, "rate": 1, "interval": "60s"})
	defer f.Call(t, http.MethodDelete, quota, nil)
	reads(t, s, "crm/login")
	e := fails(t, s, fault.Unavailable, vault.ReasonRateLimited)
	if e.RetryAfter < time.Second || e.RetryAfter > time.Minute {
		t.Errorf("try again after %s", e.RetryAfter)
	}
}

func TestUntrusted(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	cfg := f.config(t)
	cfg.CACert = stack.StartVault(t, stack.VaultOptions{}).CACert
	fails(t, open(t, cfg), fault.Unavailable, vault.ReasonUntrusted)
}

// TestForeignAnswers has something in between that is not Vault.
func TestForeignAnswers(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	tap := newTap(t, f)
	cfg := f.config(t)
	cfg.Address = tap.URL
	s := open(t, cfg)
	write(t, s, "crm/login")
	path := f.kv + "/data/crm/login"
	for name, c := range map[string]struct {
		h      http.HandlerFunc
		kind   fault.Kind
		reason string
	}{
		"a gateway's page":  {status(http.StatusBadGateway, "<html>"+planted), fault.Unavailable, vault.ReasonFailed},
		"a page":            {status(http.StatusOK, "<html>"+planted), fault.Unavailable, vault.ReasonFailed},
		"an endless answer": {endless, fault.Unavailable, vault.ReasonFailed},
		"an endless error":  {status(http.StatusInternalServerError, strings.Repeat(planted, 1<<20)), fault.Unavailable, vault.ReasonFailed},
		"a break":           {hangUp, fault.Unavailable, vault.ReasonUnreachable},
		"a teapot":          {status(http.StatusTeapot, `{"errors":["short and stout"]}`), fault.Internal, vault.ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			tap.instead(path, c.h)
			before := tap.count(path)
			e := fails(t, s, c.kind, c.reason)
			if strings.Contains(e.Error(), planted) || len(e.Error()) > 1000 {
				t.Errorf("what somebody else answered goes to the log: %.200s", e)
			}
			// net/http itself sends a GET again when a connection breaks that was used before.
			if n := tap.count(path) - before; n != 1 && (name != "a break" || n > 2) {
				t.Errorf("sent %d times", n)
			}
		})
	}
	tap.instead(path, redirect("http://vault.example:8200/v1/"+path))
	if e := fails(t, s, fault.Unavailable, vault.ReasonUnreachable); !strings.Contains(e.Error(), "refusing to send a token over plain http") {
		t.Errorf("followed the redirect: %v", e)
	}
	tap.instead(path, nil)
	reads(t, s, "crm/login")
}

func hangUp(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

func endless(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte(`{"data":{"data":{"k":"`))
	for block := []byte(strings.Repeat("x", 1<<16)); ; {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
}
