package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// Issuer is the issuer URL of a realm.
func (k *KeycloakServer) Issuer(realm string) string { return k.Addr + "/realms/" + realm }

// Token asks a realm's token endpoint, and returns its whole answer. The form has everything, also who
// the client is.
func (k *KeycloakServer) Token(ctx context.Context, realm string, form url.Values) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.Issuer(realm)+"/protocol/openid-connect/token", bytes.NewBufferString(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("stack: keycloak: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer map[string]any
	return answer, k.send(req, &answer)
}

// Do calls the admin API as the administrator: a method, a path below /admin/realms/, such as demo/users,
// and a body that is encoded as JSON unless it is nil. The answer is decoded into what into points to,
// unless that is nil.
func (k *KeycloakServer) Do(ctx context.Context, method, path string, body, into any) error {
	login, err := k.Token(ctx, "master", url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {keycloakAdmin}, "password": {keycloakPassword},
	})
	if err != nil {
		return err
	}
	var in bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&in).Encode(body); err != nil {
			return fmt.Errorf("stack: keycloak: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, k.Addr+"/admin/realms/"+path, &in)
	if err != nil {
		return fmt.Errorf("stack: keycloak: %w", err)
	}
	req.Header.Set("Authorization", fmt.Sprint("Bearer ", login["access_token"]))
	req.Header.Set("Content-Type", "application/json")
	return k.send(req, into)
}

// send sends a request and decodes its answer.
func (k *KeycloakServer) send(req *http.Request, into any) error {
	call := req.Method + " " + req.URL.Path
	resp, err := k.client.Do(req)
	if err != nil {
		return fmt.Errorf("stack: keycloak: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("stack: keycloak: %s: %w", call, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("stack: keycloak: %s: %d %s", call, resp.StatusCode, data)
	}
	if into == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("stack: keycloak: %s: %w", call, err)
	}
	return nil
}

// MakeRealm makes a realm, given in Keycloak's JSON. They are made one after the other: two at once wait for each other in
// Keycloak's database until one gives up.
func (k *KeycloakServer) MakeRealm(t testing.TB, realm any) {
	t.Helper()
	k.making.Lock()
	defer k.making.Unlock()
	require(t, k.Do(context.Background(), http.MethodPost, "", realm, nil))
}

// Call is Do for tests: what fails ends the test.
func (k *KeycloakServer) Call(t testing.TB, method, path string, body, into any) {
	t.Helper()
	if err := k.Do(context.Background(), method, path, body, into); err != nil { // not t.Context: cleanups call too
		t.Fatal(err)
	}
}
