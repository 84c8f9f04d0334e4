package dev

import (
	"context"
	"crypto/subtle"
	_ "embed" // the page
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

// demo is one demo service.
type demo struct {
	name    string
	address string
	server  *http.Server
	bound   net.Listener
}

// anywhere is a free port on loopback.
const anywhere = "127.0.0.1:0"

func newDemo(ctx context.Context, name, address string, h http.Handler) (*demo, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &demo{name: name, address: l.Addr().String(), bound: l, server: &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}}, nil
}

// run serves until ctx ends.
func (d *demo) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = d.server.Close() })
	defer stop()
	if err := d.server.Serve(d.bound); ctx.Err() == nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// portalPage holds no token; what it does goes through the gateway.
//
//go:embed portal.html
var portalPage string

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
}

// inventory is what any Go service looks like that takes our tokens: one Verifier before its handlers.
func inventory(issuer string) http.Handler {
	v := &token.Verifier{Issuer: issuer, Audience: "inventory", Keys: token.RemoteKeys(nil, issuer+"/oauth2/jwks")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items", func(w http.ResponseWriter, r *http.Request) {
		claims, _ := token.FromContext(r.Context())
		reply(w, map[string]any{
			"service": "inventory", "caller": claims.Subject, "proven by": "a token for audience inventory, alive until " + claims.Expiry.Format(time.TimeOnly),
			"items": []string{"bolts", "nuts", "washers"},
		})
	})
	return v.Handler(mux)
}

// crm knows one user and his password, and nothing of SPIFFE or tokens.
func crm(user string, password secret.Value) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /customers", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"service": "crm", "user": user, "proven by": "Authorization: Basic", "customers": []string{"Ada", "Grace"}})
	})
	mux.HandleFunc("DELETE /customers/{id}", func(w http.ResponseWriter, r *http.Request) {
		reply(w, map[string]any{"service": "crm", "user": user, "deleted": r.PathValue("id")})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, ok := r.BasicAuth()
		if !ok || u != user || subtle.ConstantTimeCompare([]byte(p), password.Reveal()) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="crm"`)
			http.Error(w, "crm wants a user and a password", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// orders calls the two others by the names that its sidecar knows, with no credential at all.
func orders(sidecar string) http.Handler {
	client := &http.Client{Timeout: 10 * time.Second}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		seen := map[string]json.RawMessage{}
		for _, path := range []string{"/inventory/items", "/crm/customers"} {
			body, err := get(r.Context(), client, sidecar+path)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			seen[path] = body
		}
		reply(w, seen)
	})
	return mux
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, res.Status, body)
	}
	return body, err
}
