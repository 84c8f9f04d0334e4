package exchange_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/token"
)

const (
	introspectPath = "/oauth2/introspect"
	inactive       = `{"active":false}`
)

// TestIntrospection: what the token says, and its audience is told (RFC 7662, section 2.2).
func TestIntrospection(t *testing.T) {
	d := newDoor(t)
	raw := d.mint(t, "/orders", "inventory")
	a := d.post(t, "/inventory", introspectPath, "token", raw, "token_type_hint", "access_token")
	claims := d.read(t, raw, "inventory")
	want := map[string]any{
		"active": true, "scope": "read write", "client_id": "spiffe://a.test/orders", "sub": "spiffe://a.test/orders", "token_type": "Bearer",
		"exp": float64(claims.Expiry.Unix()), "iat": float64(claims.IssuedAt.Unix()), "aud": "inventory", "iss": issuer, "jti": claims.ID,
	}
	if diff := cmp.Diff(want, a.json); diff != "" || a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d\n%s", a.status, diff)
	}
	if decision, outcome := d.entries(t, a.header.Get(fault.DecisionHeader)); decision.Action != "introspect" || decision.Resource != "audience/inventory" || outcome.Result != "ok" {
		t.Errorf("the log has %+v and %+v", decision, outcome)
	}
}

func TestIntrospectionOfABoundAndDelegatedToken(t *testing.T) {
	d := newDoor(t)
	held := d.mint(t, "/orders", "inventory")
	traded := d.post(t, "/inventory", tokenPath, "grant_type", exchange.GrantExchange, "audience", "ledger", "subject_token", held, "subject_token_type", exchange.TypeAccessToken)
	raw := traded.str("access_token")
	a := d.post(t, "/ledger", introspectPath, "token", raw)
	want := map[string]any{"act": map[string]any{"sub": "spiffe://a.test/inventory"}, "cnf": map[string]any{"x5t#S256": d.read(t, raw, "ledger").Confirmation}}
	if diff := cmp.Diff(want, map[string]any{"act": a.json["act"], "cnf": a.json["cnf"]}); diff != "" {
		t.Errorf("%d %s\n%s", a.status, a.text, diff)
	}
}

func TestIntrospectionOfAUsersToken(t *testing.T) {
	d := newDoor(t)
	d.users(unchanged)
	traded := d.post(t, "/orders", tokenPath, "grant_type", exchange.GrantExchange, "audience", "ledger", "subject_token", "a user's", "subject_token_type", "x")
	a := d.post(t, "/ledger", introspectPath, "token", traded.str("access_token"))
	want := map[string]any{
		"sub": "user:https://idp.test%7Cada", "sub_id": map[string]any{"format": "iss_sub", "iss": idp, "sub": "ada"},
		"groups": []any{"staff"}, "act": map[string]any{"sub": ordersID.String()},
	}
	got := map[string]any{"sub": a.json["sub"], "sub_id": a.json["sub_id"], "groups": a.json["groups"], "act": a.json["act"]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d %s\n%s", a.status, a.text, diff)
	}
}

// TestIntrospectionTellsNothing to whom policy does not allow it: whole answers are compared, without the
// date and the decision, which differ each time.
func TestIntrospectionTellsNothing(t *testing.T) {
	d := newDoor(t)
	good := d.mint(t, "/orders", "inventory")
	parts := strings.Split(good, ".")
	forged := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	var first *said
	for name, raw := range map[string]string{"good": good, "forged": forged} {
		a := d.post(t, "/thief", introspectPath, "token", raw)
		if a.header.Get(fault.DecisionHeader) == "" {
			t.Errorf("%s: no decision", name)
		}
		a.header.Del(fault.DecisionHeader)
		a.header.Del("Date")
		if a.text != inactive || a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		if first == nil {
			first = &a
		} else if diff := cmp.Diff(first.header, a.header); diff != "" {
			t.Error(diff)
		}
	}
}

// TestInactiveTokens are told to be that and no more, also to whom they are meant for.
func TestInactiveTokens(t *testing.T) {
	d := newDoor(t)
	raw := d.mint(t, "/orders", "inventory")
	other := newOAuth(t) // another issuer's keys
	foreign, err := token.Mint(t.Context(), other.ring, token.Claims{Issuer: issuer, Subject: "s", ClientID: "c", Audience: []string{"inventory"},
		IssuedAt: time.Now(), Expiry: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	expired, err := token.Mint(t.Context(), d.ring, token.Claims{Issuer: issuer, Subject: "s", ClientID: "c", Audience: []string{"inventory"},
		IssuedAt: time.Now().Add(-time.Minute), Expiry: time.Now().Add(-time.Second)}) // within the leeway
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := token.Mint(t.Context(), d.ring, token.Claims{Issuer: "https://other.test", Subject: "s", ClientID: "c", Audience: []string{"inventory"},
		IssuedAt: time.Now(), Expiry: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"garbage": "x", "three parts": "a.b.c", "cut": raw[:len(raw)-5], "another key's": string(foreign.Reveal()), "ended": string(expired.Reveal()),
		"another issuer's": string(elsewhere.Reveal()), "a JWT-SVID": d.svid(t, "/orders"), "larger than a token can be": strings.Repeat("a", 20<<10),
	} {
		if a := d.post(t, "/inventory", introspectPath, "token", raw); a.text != inactive || a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	if a := d.post(t, "/inventory", introspectPath); a.status != http.StatusBadRequest || a.str("error") != "invalid_request" {
		t.Errorf("no token: %d %s", a.status, a.text)
	}
	if a := d.post(t, "", introspectPath, "token", raw); a.status != http.StatusUnauthorized || a.str("error") != "invalid_client" {
		t.Errorf("nobody: %d %s", a.status, a.text)
	}
}

// TestSignedIntrospection as RFC 9701, section 5, has it: for the caller, and without exp or sub.
func TestSignedIntrospection(t *testing.T) {
	d := newDoor(t)
	raw := d.mint(t, "/orders", "inventory")
	for name, tc := range map[string]struct {
		token string
		want  map[string]any
	}{
		"active":   {raw, d.post(t, "/inventory", introspectPath, "token", raw).json},
		"inactive": {"x", map[string]any{"active": false}},
	} {
		req := d.request(t, introspectPath, encode("token", tc.token))
		req.Header.Set("Accept", "application/token-introspection+jwt")
		a := send(t, d.client("/inventory"), req)
		if a.header.Get("Content-Type") != "application/token-introspection+jwt" {
			t.Fatalf("%s: %d %s %s", name, a.status, a.header.Get("Content-Type"), a.text)
		}
		claims := jwt.MapClaims{}
		parsed, err := jwt.ParseWithClaims(a.text, claims, func(tok *jwt.Token) (any, error) {
			key, _, _ := d.ring.Lookup(tok.Header["kid"].(string))
			return key, nil
		}, jwt.WithValidMethods([]string{"ES256"}))
		if err != nil || parsed.Header["typ"] != "token-introspection+jwt" {
			t.Fatalf("%s: %v, %v", name, parsed.Header, err)
		}
		made, _ := claims["iat"].(float64)
		delete(claims, "iat")
		want := jwt.MapClaims{"iss": issuer, "aud": "spiffe://a.test/inventory", "token_introspection": tc.want}
		if diff := cmp.Diff(want, claims); diff != "" || time.Since(time.Unix(int64(made), 0)).Abs() > time.Minute {
			t.Errorf("%s: iat %v\n%s", name, made, diff)
		}
		if _, err := (&token.Verifier{Issuer: issuer, Audience: "spiffe://a.test/inventory", Keys: token.LocalKeys(d.ring.Lookup)}).Verify(t.Context(), a.text, nil); err == nil {
			t.Errorf("%s: the answer is taken for a token", name)
		}
	}
}

// TestWhoGetsASignedAnswer reads the Accept header as RFC 9110, section 12.5.1, has it.
func TestWhoGetsASignedAnswer(t *testing.T) {
	d := newDoor(t)
	raw := d.mint(t, "/orders", "inventory")
	const signed = "application/token-introspection+jwt"
	for accept, want := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/*": "application/json", "application/json": "application/json",
		signed: signed, "Application/Token-Introspection+JWT": signed, "application/json;q=0.5, " + signed: signed, "application/json, " + signed: signed,
		"application/json, " + signed + ";q=0.5": "application/json", signed + ";q=0": "application/json", signed + ";q=x": "application/json",
		signed + ";q=NaN": "application/json", "text/html, ;;;, " + signed: signed,
	} {
		req := d.request(t, introspectPath, encode("token", raw))
		req.Header.Set("Accept", accept)
		if got := send(t, d.client("/inventory"), req).header.Get("Content-Type"); got != want {
			t.Errorf("%q: %s", accept, got)
		}
	}
}

// FuzzIntrospectionIsPrivate: whatever the token is, a caller that no rule names learns nothing.
func FuzzIntrospectionIsPrivate(f *testing.F) {
	d := newDoor(f)
	good := d.mint(f, "/orders", "inventory")
	client := d.client("/thief")
	client.Transport.(*http.Transport).DisableKeepAlives = false
	for _, seed := range []string{good, good + "x", "", "a.b.c", "e30.e30.", "e30.eyJhdWQiOiJpbnZlbnRvcnkifQ.e30", "e30.eyJhdWQiOlsiXHUwMDAwIl19.x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		a := send(t, client, d.request(t, introspectPath, encode("token", raw)))
		if a.status == http.StatusOK && a.text != inactive || a.status >= 500 {
			t.Errorf("%q: %d %s", raw, a.status, a.text)
		}
		var refused struct{ Error string }
		if a.status != http.StatusOK && (json.Unmarshal([]byte(a.text), &refused) != nil || refused.Error == "") {
			t.Errorf("%q: %d %s", raw, a.status, a.text)
		}
	})
}
