package token_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/token"
)

// A service takes tokens that the broker minted for it. All that it needs to know is the broker's issuer,
// its own name, and where the keys are.
func ExampleVerifier_Handler() {
	issuer, mint := startBroker()
	defer issuer.Close()

	verifier := &token.Verifier{
		Issuer:   "https://intercom.example.org",
		Audience: "inventory",
		Keys:     token.RemoteKeys(nil, issuer.URL+"/oauth2/jwks"),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items", func(w http.ResponseWriter, r *http.Request) {
		claims, _ := token.FromContext(r.Context())
		fmt.Fprintf(w, "three items for %s", claims.Subject)
	})
	mux.Handle("DELETE /items", token.RequireScope("write", http.NotFoundHandler()))
	service := httptest.NewServer(verifier.Handler(mux)) // yours: http.ListenAndServe(addr, verifier.Handler(mux))
	defer service.Close()

	for _, call := range []struct{ method, token string }{
		{"GET", mint("inventory")}, {"GET", mint("ledger")}, {"GET", ""}, {"DELETE", mint("inventory")},
	} {
		req, _ := http.NewRequestWithContext(context.Background(), call.method, service.URL+"/items", nil)
		if call.token != "" {
			req.Header.Set("Authorization", "Bearer "+call.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		_ = resp.Body.Close()
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%s: %d %s", call.method, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))))
	}
	// Output:
	// GET: 200
	// GET: 401 Bearer realm="inventory", error="invalid_token", error_description="the token is not valid here"
	// GET: 401 Bearer realm="inventory"
	// DELETE: 403 Bearer error="insufficient_scope", error_description="the token lacks the scope write", scope="write"
}

// startBroker is what of a broker an example needs: a key set at a URL, and tokens.
func startBroker() (*httptest.Server, func(audience string) string) {
	ring, err := keyring.Open(context.Background(), keyring.Config{})
	if err != nil {
		panic(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		set, _ := ring.JWKS()
		_, _ = w.Write(set)
	}))
	return srv, func(audience string) string {
		now := time.Now()
		raw, err := token.Mint(context.Background(), ring, token.Claims{
			Issuer: "https://intercom.example.org", Subject: "spiffe://example.org/orders", ClientID: "spiffe://example.org/orders",
			Audience: []string{audience}, IssuedAt: now, Expiry: now.Add(time.Minute),
		})
		if err != nil {
			panic(err)
		}
		return string(raw.Reveal())
	}
}
