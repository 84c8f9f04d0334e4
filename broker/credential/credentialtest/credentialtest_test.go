package credentialtest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/credentialtest"
)

// memory is the smallest store that meets the contract. broken names the one clause that it breaks.
type memory struct {
	broken string
	mu     sync.Mutex
	kept   map[credential.Name]credential.Credential
}

func (m *memory) check(ctx context.Context, name credential.Name) error {
	if err := ctx.Err(); err != nil && m.broken != "cancelled" {
		return err
	}
	if m.broken == "names" {
		return nil
	}
	return name.Check()
}

func (m *memory) Read(ctx context.Context, name credential.Name) (credential.Credential, error) {
	if err := m.check(ctx, name); err != nil {
		return credential.Credential{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.kept[name]
	if !ok && m.broken == "unknown" {
		return c, errors.New("no " + string(name))
	} else if !ok {
		return c, credential.Unknown(name)
	}
	if m.broken != "copies" {
		c.Fields = maps.Clone(c.Fields)
	}
	if m.broken == "bytes" {
		delete(c.Fields, "empty")
	}
	return c, nil
}

func (m *memory) Write(ctx context.Context, name credential.Name, fields credential.Fields) (uint64, error) {
	if err := m.check(ctx, name); err != nil {
		return 0, err
	}
	if err := fields.Check(); err != nil && m.broken == "errors are silent" {
		return 0, fmt.Errorf("%w: %s", err, fields["password"].Reveal())
	} else if err != nil && m.broken != "limits" {
		return 0, err
	}
	if m.broken == "writers of one name" {
		before := m.version(name)
		time.Sleep(time.Millisecond)
		return m.put(name, fields, before+1), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.putLocked(name, fields, m.kept[name].Version+1), nil
}

func (m *memory) version(name credential.Name) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[name].Version
}

func (m *memory) put(name credential.Name, fields credential.Fields, version uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.putLocked(name, fields, version)
}

func (m *memory) putLocked(name credential.Name, fields credential.Fields, version uint64) uint64 {
	if m.broken == "versions" {
		version = 1
	}
	m.kept[name] = credential.Credential{Name: name, Version: version, Fields: maps.Clone(fields), Created: time.Now()}
	return version
}

func (m *memory) Delete(ctx context.Context, name credential.Name) error {
	if err := m.check(ctx, name); err != nil || m.broken == "delete" {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, name)
	return nil
}

func (m *memory) List(ctx context.Context, prefix credential.Name) (names []credential.Name, err error) {
	if err := m.check(ctx, prefix); err != nil && (prefix != "" || ctx.Err() != nil) {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.kept {
		if name.Within(prefix) || m.broken == "list" && strings.HasPrefix(string(name), string(prefix)) {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names)), nil
}

const brokenEnv = "CREDENTIALTEST_BROKEN"

func TestContract(t *testing.T) {
	credentialtest.Run(t, func(*testing.T) credential.Store {
		return &memory{broken: os.Getenv(brokenEnv), kept: map[credential.Name]credential.Credential{}}
	})
}

// TestSuiteBites runs the suite on stores that break one clause each: it must fail in the test of that
// clause.
func TestSuiteBites(t *testing.T) {
	for _, clause := range []string{
		"unknown", "versions", "delete", "list", "bytes", "copies", "limits", "names", "writers of one name", "cancelled", "errors are silent",
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestContract$")
		cmd.Env = append(os.Environ(), brokenEnv+"="+clause)
		out, err := cmd.CombinedOutput()
		if want := "--- FAIL: TestContract/" + strings.ReplaceAll(clause, " ", "_"); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("a store that breaks %q passed (%v):\n%s", clause, err, out)
		}
	}
}
