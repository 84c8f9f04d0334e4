package providertest_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
)

func server(t *testing.T) *providertest.Server {
	t.Helper()
	return providertest.New(t, openid.Config{Clients: []openid.Client{{ID: "app", Secret: secret.FromString("s")}}})
}

func revoke(t *testing.T, s *providertest.Server, within time.Duration) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	body := url.Values{"token": {"x"}, "client_id": {"app"}, "client_secret": {"s"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(openid.PathRevoke), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.Client().Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if ctx.Err() != nil { // net/http may take in what the server says while it hangs up
		return 0, ctx.Err()
	}
	return resp.StatusCode, nil
}

// TestFaults: each does what its name says, is limited by Times, and goes away.
func TestFaults(t *testing.T) {
	s := server(t)
	for name, c := range map[string]struct {
		fault  providertest.Fault
		status int // 0: no answer
	}{
		"status": {providertest.Status(503, time.Second), 503}, "refuse": {providertest.Refuse(400, "invalid_grant", ""), 400},
		"hang": {providertest.Hang(), 0}, "slow": {providertest.Slow(time.Hour), 0}, "lost": {providertest.Lost(), 0},
		"slow, but not too slow": {providertest.Slow(time.Millisecond), 200},
	} {
		s.Break(openid.PathRevoke, providertest.Times(1, c.fault))
		within := 30 * time.Second
		if c.status == 0 {
			within = 300 * time.Millisecond
		}
		status, err := revoke(t, s, within)
		if status != c.status || (err == nil) != (c.status != 0) {
			t.Errorf("%s: %d %v", name, status, err)
		}
		s.Heal()
		if status, err := revoke(t, s, 30*time.Second); err != nil || status != 200 {
			t.Errorf("%s is over: %d, %v", name, status, err)
		}
	}
	calls := s.Calls(openid.PathRevoke)
	if len(calls) < 10 || calls[0].Auth != "client_secret_post" || calls[0].Form.Get("token") != "x" {
		t.Errorf("%d calls, the first %+v", len(calls), calls[0])
	}
}

func TestHung(t *testing.T) {
	conn, err := net.Dial("tcp", providertest.Hung(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("it spoke: %v", err)
	}
}

// TestForgeriesAreWhatTheySay: a defect that is none would let a test pass for nothing. Those of the signature do
// not verify, those of the claims do.
func TestForgeriesAreWhatTheySay(t *testing.T) {
	s := server(t)
	names := map[string]bool{}
	for _, d := range providertest.LogoutDefects() {
		if names[d.Name] {
			t.Errorf("%s: twice", d.Name)
		}
		names[d.Name] = true
		raw := s.LogoutToken("app", "alice", "sid", d)
		good := s.LogoutToken("app", "alice", "sid")
		_, err := jwt.NewParser(jwt.WithoutClaimsValidation()).Parse(raw, func(token *jwt.Token) (any, error) {
			return s.JWKS().Keys[0].Key, nil
		})
		structural := d.Statement == "BCL-2" && d.Name != "unknown kid" && d.Name != "a critical extension"
		if structural && err == nil || d.Statement != "BCL-2" && err != nil {
			t.Errorf("%s: verifies: %v", d.Name, err)
		}
		if len(strings.Split(raw, ".")) != 3 || raw == good {
			t.Errorf("%s: %q", d.Name, raw)
		}
	}
}
