// Package credentialtest is the contract of [credential.Store] as a test suite. A store's whole test of
// the contract is one call:
//
//	func TestContract(t *testing.T) { credentialtest.Run(t, newStore) }
//
// The suite asks a store some two hundred questions and never waits, so that it can run on a real Vault.
package credentialtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Run holds the stores that newStore returns to the contract. Each call of newStore gives an empty store.
func Run(t *testing.T, newStore func(t *testing.T) credential.Store) {
	t.Helper()
	for name, test := range map[string]func(*suite){
		"unknown": (*suite).unknown, "versions": (*suite).versions, "delete": (*suite).delete, "list": (*suite).list,
		"bytes": (*suite).bytes, "copies": (*suite).copies, "limits": (*suite).limits, "names": (*suite).names,
		"writers of one name": (*suite).writersOfOne, "writers of many names": (*suite).writersOfMany,
		"cancelled": (*suite).cancelled, "errors are silent": (*suite).silent,
	} {
		t.Run(name, func(t *testing.T) { test(&suite{T: t, store: newStore(t)}) })
	}
}

// suite is one test with a store of its own.
type suite struct {
	*testing.T
	store credential.Store
}

func (s *suite) write(name credential.Name, fields credential.Fields) uint64 {
	s.Helper()
	version, err := s.store.Write(s.Context(), name, fields)
	if err != nil {
		s.Fatalf("writing %s: %v", name, err)
	}
	return version
}

func (s *suite) read(name credential.Name) credential.Credential {
	s.Helper()
	c, err := s.store.Read(s.Context(), name)
	if err != nil {
		s.Fatalf("reading %s: %v", name, err)
	}
	return c
}

func (s *suite) remove(name credential.Name) {
	s.Helper()
	if err := s.store.Delete(s.Context(), name); err != nil {
		s.Fatalf("deleting %s: %v", name, err)
	}
}

func (s *suite) wantUnknown(name credential.Name) {
	s.Helper()
	c, err := s.store.Read(s.Context(), name)
	if !errors.Is(err, fault.NotFound) || fault.From(err).Reason != credential.ReasonUnknown {
		s.Errorf("reading %s: %v, %v; want not_found with %s", name, c, err, credential.ReasonUnknown)
	}
}

func (s *suite) wantList(prefix credential.Name, want ...credential.Name) {
	s.Helper()
	got, err := s.store.List(s.Context(), prefix)
	if err != nil {
		s.Fatalf("listing %q: %v", prefix, err)
	}
	if len(got)+len(want) > 0 && !cmp.Equal(want, got) {
		s.Errorf("listing %q (-want +got):\n%s", prefix, cmp.Diff(want, got))
	}
}

func password(p string) credential.Fields {
	return credential.Fields{"password": secret.FromString(p)}
}

func (s *suite) unknown() {
	s.wantUnknown("crm/login")
	s.write("crm/login", password("one"))
	s.wantUnknown("crm")
	s.wantUnknown("crm/login/deeper")
	s.wantUnknown("crm/logi")
	if _, err := s.store.Read(s.Context(), "nobody/knows"); err == nil || strings.Contains(fault.From(err).Message, "nobody") {
		s.Errorf("what goes to the caller names the credential: %v", err)
	}
}

func (s *suite) versions() {
	for i, p := range []string{"one", "two", "two", "three"} {
		if version := s.write("crm/login", password(p)); version != uint64(i+1) {
			s.Errorf("write %d made version %d", i+1, version)
		}
		got := s.read("crm/login")
		if got.Name != "crm/login" || got.Version != uint64(i+1) || !got.Fields.Equal(password(p)) {
			s.Errorf("after write %d: %s version %d, fields as written: %t", i+1, got.Name, got.Version, got.Fields.Equal(password(p)))
		}
		if age := time.Since(got.Created); age < -5*time.Minute || age > 5*time.Minute {
			s.Errorf("version %d was created %v ago", got.Version, age)
		}
	}
	if version := s.write("crm/other", password("x")); version != 1 {
		s.Errorf("the first write of another name made version %d", version)
	}
	s.write("crm/other", credential.Fields{"token": secret.FromString("y")})
	if got := s.read("crm/other").Fields.Names(); !cmp.Equal(got, []string{"token"}) {
		s.Errorf("a write kept fields of the version before it: %q", got)
	}
}

func (s *suite) delete() {
	s.write("crm/login", password("one"))
	s.write("crm/login", password("two"))
	s.write("crm/login2", password("other"))
	s.remove("crm/login")
	s.wantUnknown("crm/login")
	s.wantList("", "crm/login2")
	s.remove("crm/login")
	s.remove("never/was")
	if version := s.write("crm/login", password("three")); version == 0 {
		s.Error("a write after a delete made version 0")
	}
	if got := s.read("crm/login"); !got.Fields.Equal(password("three")) {
		s.Error("a read after a delete and a write returns something else than was written")
	}
}

func (s *suite) list() {
	s.wantList("")
	all := []credential.Name{"crm", "crm/login", "crm/login/deep.er", "crm-2/login", "crmx", "ledger/a_b/token"}
	for _, name := range all {
		s.write(name, password("x"))
	}
	s.wantList("", "crm", "crm-2/login", "crm/login", "crm/login/deep.er", "crmx", "ledger/a_b/token")
	s.wantList("crm", "crm", "crm/login", "crm/login/deep.er")
	s.wantList("crm/login", "crm/login", "crm/login/deep.er")
	s.wantList("ledger/a_b", "ledger/a_b/token")
	s.wantList("crm/log")
	s.wantList("nothing")
}

// cancelled asks with a context that has ended: nothing may be done, and the error says why.
func (s *suite) cancelled() {
	s.write("crm/login", password("one"))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, readErr := s.store.Read(ctx, "crm/login")
	_, writeErr := s.store.Write(ctx, "crm/login", password("two"))
	_, listErr := s.store.List(ctx, "")
	for what, err := range map[string]error{
		"Read": readErr, "Write": writeErr, "List": listErr, "Delete": s.store.Delete(ctx, "crm/login"),
	} {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s with a cancelled context: %v", what, err)
		}
	}
	if got := s.read("crm/login"); got.Version != 1 || !got.Fields.Equal(password("one")) {
		s.Errorf("a cancelled call changed the store: version %d", got.Version)
	}
}
