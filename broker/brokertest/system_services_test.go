package brokertest_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/token"
)

// witness remembers what the services saw.
type witness struct {
	mu       sync.Mutex
	password string // what crm accepts now
	token    string // the last token that inventory saw
}

func (s *witness) accept(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

func (s *witness) lastToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

func (w *system) issuer() string { return "https://" + w.brokers[0].web }

func (w *system) startServices(t *testing.T) {
	t.Helper()
	w.inventory = w.serveHTTP(t, w.inventoryHandler())
	w.seen.accept(plantedPassword)
	w.crm = w.serveHTTP(t, http.HandlerFunc(w.serveCRM))
	w.ledger = w.serveLedger(t)
	w.write(t, "services/services.yaml", fmt.Sprintf(`version: 1
owner: system-test
services:
  inventory:
    upstream: { url: "%s", dial: [127.0.0.0/8] }
    token: { audience: inventory, bind: none }
  ledger:
    upstream: { url: "https://%s", dial: [127.0.0.0/8] }
    token: { audience: ledger, scope: [read], bind: svid }
  crm:
    upstream: { url: "%s", dial: [127.0.0.0/8] }
    inject: { basic: { credential: crm/login } }
  archive:
    upstream: { url: "%s", dial: [127.0.0.0/8] }
    inject: { basic: { credential: crm/archive } }
`, w.inventory, w.ledger, w.crm, w.crm))
}

func (w *system) serveHTTP(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// inventoryHandler is a service that takes our tokens, with the verifier that we ship.
func (w *system) inventoryHandler() http.Handler {
	v := &token.Verifier{Issuer: w.issuer(), Audience: "inventory", Keys: token.RemoteKeys(w.webClient(), w.issuer()+"/oauth2/jwks")}
	return v.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		claims, _ := token.FromContext(r.Context())
		w.seen.mu.Lock()
		w.seen.token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.seen.mu.Unlock()
		fmt.Fprintf(rw, "stock for %s", claims.Subject)
	}))
}

func (w *system) serveCRM(rw http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	w.seen.mu.Lock()
	ok := user == plantedUser && password == w.seen.password
	w.seen.mu.Unlock()
	if !ok {
		http.Error(rw, "crm wants a user and a password", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(rw, "%s %s for %s", r.Method, r.URL.Path, user)
}

// serveLedger is a gRPC service over mTLS that wants a token which is bound to the connection.
func (w *system) serveLedger(t *testing.T) string {
	t.Helper()
	v := &token.Verifier{Issuer: w.issuer(), Audience: "ledger", Keys: token.RemoteKeys(w.webClient(), w.issuer()+"/oauth2/jwks")}
	td := w.identity.ID().TrustDomain()
	srv := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(mtls.Server(w.identity, w.identity, mtls.AllowDomains(td), "h2"))),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx, err := v.Authenticate(ctx)
			if err != nil {
				return nil, err
			}
			if claims, _ := token.FromContext(ctx); claims.Confirmation == "" {
				return nil, fmt.Errorf("the token of %s is not bound", claims.Subject)
			}
			return next(ctx, req)
		}))
	grpc_health_v1.RegisterHealthServer(srv, health.NewServer())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return l.Addr().String()
}

// prepareVault mounts what the broker needs and plants the credentials. It comes after the broker's
// start, since Vault asks the broker's web door for the trust domain's keys.
func (w *system) prepareVault(t *testing.T) {
	t.Helper()
	w.plant(t, "crm/login", plantedPassword)
	w.plant(t, "crm/archive", plantedPassword)
	policy := w.vault.Policy(t, fmt.Sprintf(`path "%s/*" { capabilities = ["create", "read", "update", "delete", "list"] }`, w.kv))
	login := w.brokers[0].vaultAuth
	ca, err := os.ReadFile(w.pki.File)
	must(t, err)
	eventually(t, "Vault reads the trust domain's keys", func() error {
		_, err := w.vault.Do(t.Context(), http.MethodPost, "auth/"+login+"/config", map[string]any{
			"jwks_url": w.issuer() + "/.well-known/spiffe/jwks", "jwks_ca_pem": string(ca), "bound_issuer": w.a.JWTIssuer,
		})
		return err
	})
	w.vault.Call(t, http.MethodPost, "auth/"+login+"/role/broker", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_subject": "spiffe://a.test/broker", "bound_audiences": []string{"vault"},
		"token_policies": []string{policy}, "token_ttl": "60s",
	})
}

func (w *system) plant(t *testing.T, name, password string) {
	t.Helper()
	w.vault.Call(t, http.MethodPost, w.kv+"/data/intercom/"+name, map[string]any{
		"data": map[string]any{"username": plantedUser, "password": password},
	})
}

// http returns a client that, like an application, knows nothing of us.
func application() *http.Client { return &http.Client{Timeout: 30 * time.Second} }
