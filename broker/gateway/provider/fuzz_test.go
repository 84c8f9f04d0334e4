package provider_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// claimsOf returns the claims in data, or whether there are none.
func claimsOf(data []byte) (claims map[string]any, ok bool) {
	return claims, json.Unmarshal(data, &claims) == nil && claims != nil
}

// FuzzIDToken gives the provider's own signature to whatever the fuzzer says, and holds what is accepted to what
// a login needs. The raw form is tried too: nobody's signature is ever ours.
func FuzzIDToken(f *testing.F) {
	s := server(f, nil)
	p := open(f, s, nil)
	address, tx := start(f, p, provider.Request{})
	callback := s.Browser(f).Login(address, "alice")
	good := map[string]any{
		"iss": s.Issuer(), "aud": clientID, "sub": "alice", "iat": time.Now().Unix(), "exp": time.Now().Add(24 * time.Hour).Unix(),
		"nonce": string(tx.Nonce.Reveal()), "sid": "sid",
	}
	for _, d := range append(providertest.IDTokenDefects(), providertest.Defect{Forge: func(*providertest.Forgery) {}}) {
		forged := &providertest.Forgery{Header: map[string]any{}, Claims: map[string]any{}}
		for name, value := range good {
			forged.Claims[name] = value
		}
		d.Forge(forged)
		data, err := json.Marshal(forged.Claims)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"iss":["x"],"aud":{},"exp":1e400}`))
	f.Add([]byte(`{"exp":9e99,"iat":-9e99,"aud":[],"_claim_names":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := string(data)
		claims, signed := claimsOf(data)
		if signed {
			var err error
			if raw, err = s.Sign(nil, claims); err != nil {
				t.Skip(err)
			}
		}
		answer, err := json.Marshal(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": raw})
		if err != nil {
			t.Skip(err)
		}
		s.Break(openid.PathToken, providertest.Raw(answer))
		_, got, err := p.Redeem(t.Context(), tx, callback)
		if err == nil && (!signed || got.Subject != claims["sub"] || got.Issuer != s.Issuer() || claims["nonce"] != string(tx.Nonce.Reveal())) {
			t.Errorf("accepted %s", data)
		}
		if err != nil && (got.Subject != "" || fault.KindOf(err) == fault.Internal) {
			t.Errorf("%v with %+v for %s", err, got, data)
		}
	})
}

// FuzzLogoutToken does the same with logout tokens.
func FuzzLogoutToken(f *testing.F) {
	s := server(f, nil)
	p := open(f, s, nil)
	for _, d := range append(providertest.LogoutDefects(), providertest.Defect{Forge: func(*providertest.Forgery) {}}) {
		forged := &providertest.Forgery{Header: map[string]any{"typ": "logout+jwt"}, Claims: s.LogoutClaims(clientID, "alice", "sid")}
		d.Forge(forged)
		data, err := json.Marshal(forged.Claims)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add([]byte(s.LogoutToken(clientID, "alice", "sid", d)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := string(data)
		claims, signed := claimsOf(data)
		if signed {
			var err error
			if raw, err = s.Sign(map[string]any{"typ": "logout+jwt"}, claims); err != nil {
				t.Skip(err)
			}
		}
		got, err := p.VerifyLogoutToken(t.Context(), raw)
		if err != nil {
			if fault.KindOf(err) != fault.InvalidRequest || got != (provider.Logout{}) {
				t.Errorf("%v with %+v for %q", err, got, data)
			}
			return
		}
		if got.Issuer != s.Issuer() || got.Subject == "" && got.SID == "" || got.IssuedAt.After(time.Now().Add(time.Minute)) {
			t.Errorf("accepted %+v for %q", got, data)
		}
		if _, nonce := claims["nonce"]; nonce {
			t.Errorf("accepted with a nonce: %q", data)
		}
	})
}

// FuzzMetadata: whatever a provider says of itself either ends the start or is a provider by our issuer whose
// addresses are safe to send a secret to.
func FuzzMetadata(f *testing.F) {
	s := server(f, nil)
	seed := func(change func(map[string]any)) {
		m := s.Metadata()
		change(m)
		data, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	seed(func(map[string]any) {})
	seed(func(m map[string]any) { m["issuer"] = nil })
	seed(func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" })
	seed(func(m map[string]any) { m["authorization_endpoint"] = s.URL(openid.PathAuthorize) + "?kc_idp_hint=x" })
	seed(func(m map[string]any) { m["require_pushed_authorization_requests"] = "yes" })
	cfg := config(s, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		s.Break(openid.PathDiscovery, providertest.Raw(data))
		p, err := provider.Open(t.Context(), cfg)
		if err != nil || p.Ready() != nil {
			return
		}
		if m, ok := claimsOf(data); !ok || m["issuer"] != nil && m["issuer"] != s.Issuer() {
			t.Errorf("opened %q", data)
		}
		end, err := p.EndSessionURL(provider.Tokens{}.ID, goneURI, "s")
		if u, bad := url.Parse(end); err == nil && (bad != nil || u.Scheme != "https" && u.Scheme != "http") {
			t.Errorf("logs out at %q", end)
		}
	})
}

// FuzzTokenAnswer: no answer of the token endpoint is more than it says, and none ends the process.
func FuzzTokenAnswer(f *testing.F) {
	s := server(f, nil)
	p := open(f, s, nil)
	f.Add([]byte(`{"access_token":"a","token_type":"Bearer","expires_in":300,"refresh_expires_in":0}`))
	f.Add([]byte(`{"access_token":"a.b.c","token_type":"bearer","expires_in":"300","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`))
	f.Add([]byte(`{"access_token":"a","token_type":"Bearer","expires_in":-1,"refresh_token":"r","refresh_expires_in":1e300}`))
	f.Add([]byte(`{"error":"invalid_grant"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s.Break(openid.PathToken, providertest.Raw(data))
		tokens, _, err := p.Refresh(t.Context(), provider.Tokens{}.Refresh, provider.Claims{Subject: "alice"})
		if err == nil && (tokens.Access.IsZero() || time.Until(tokens.Expiry) < 0) {
			t.Errorf("accepted %q", data)
		}
		if err != nil && !tokens.Access.IsZero() {
			t.Errorf("%v, and tokens", err)
		}
		if got, err := p.Exchange(t.Context(), provider.Tokens{}.Access, "orders"); err == nil && got.Token.IsZero() {
			t.Errorf("accepted %q", data)
		}
	})
}
