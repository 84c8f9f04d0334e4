package stack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// APIError is an answer of Vault's that is not a success.
type APIError struct {
	// Status is the HTTP status code.
	Status int
	// Errors is what Vault says about it.
	Errors []string
	call   string
}

// Error implements error.
func (e *APIError) Error() string {
	return fmt.Sprintf("vault: %s: %d %s", e.call, e.Status, strings.Join(e.Errors, "; "))
}

// Do calls Vault's HTTP API with the root token: a method, a path without /v1/, and a body that is
// encoded as JSON unless it is nil. It returns the whole answer, in which `data` and `auth` are.
func (v *VaultServer) Do(ctx context.Context, method, path string, body any) (map[string]any, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("stack: vault: %w", err)
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, v.Addr+"/v1/"+path, in)
	if err != nil {
		return nil, fmt.Errorf("stack: vault: %w", err)
	}
	req.Header.Set("X-Vault-Token", v.Token)
	req.Header.Set("X-Vault-Request", "true")
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("stack: vault: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return decodeAnswer(resp, method+" "+path)
}

func decodeAnswer(resp *http.Response, call string) (map[string]any, error) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("stack: vault: %s: %w", call, err)
	}
	var answer map[string]any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &answer); err != nil {
			return nil, fmt.Errorf("stack: vault: %s: %d: %w", call, resp.StatusCode, err)
		}
	}
	if resp.StatusCode < 300 {
		return answer, nil
	}
	e := &APIError{Status: resp.StatusCode, call: call}
	list, _ := answer["errors"].([]any)
	for _, s := range list {
		e.Errors = append(e.Errors, fmt.Sprint(s))
	}
	return nil, e
}

// Call is Do for tests: what fails ends the test.
func (v *VaultServer) Call(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	answer, err := v.Do(context.Background(), method, path, body) // not t.Context: cleanups call too
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Mount mounts a secrets engine under a random name and takes it away when the test ends. The options are
// the engine's, such as {"version": "2"} for kv.
func (v *VaultServer) Mount(t testing.TB, engine string, options map[string]any) (name string) {
	t.Helper()
	name = randomName(engine)
	v.Call(t, http.MethodPost, "sys/mounts/"+name, map[string]any{"type": engine, "options": options})
	v.removeAfter(t, "sys/mounts/"+name)
	if engine == "kv" && options["version"] == "2" { // it is upgraded for a moment, and refuses meanwhile
		if err := poll(t.Context(), readyWithin, func() error {
			_, err := v.Do(t.Context(), http.MethodGet, name+"/config", nil)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// KV mounts a KV version 2 engine under a random name and takes it away when the test ends.
func (v *VaultServer) KV(t testing.TB) (name string) {
	t.Helper()
	return v.Mount(t, "kv", map[string]any{"version": "2"})
}

// Auth enables a login method, such as jwt or cert, under a random name and disables it when the test
// ends, which revokes the logins that were made by it.
func (v *VaultServer) Auth(t testing.TB, method string) (name string) {
	t.Helper()
	name = randomName(method)
	v.Call(t, http.MethodPost, "sys/auth/"+name, map[string]any{"type": method})
	v.removeAfter(t, "sys/auth/"+name)
	return name
}

// Policy writes an ACL policy, in Vault's HCL, under a random name and deletes it when the test ends.
func (v *VaultServer) Policy(t testing.TB, hcl string) (name string) {
	t.Helper()
	name = randomName("policy")
	v.Call(t, http.MethodPut, "sys/policies/acl/"+name, map[string]any{"policy": hcl})
	v.removeAfter(t, "sys/policies/acl/"+name)
	return name
}

// removeAfter deletes a path when the test ends. A test's own server may be sealed, paused or dead by
// then, and goes away with all that it has.
func (v *VaultServer) removeAfter(t testing.TB, path string) {
	if v.private {
		return
	}
	t.Cleanup(func() {
		if _, err := v.Do(context.Background(), http.MethodDelete, path, nil); err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
}

// randomName is told apart from whatever else a Vault has.
func randomName(kind string) string {
	return "intercom-test-" + kind + "-" + strings.ToLower(rand.Text()[:12])
}
