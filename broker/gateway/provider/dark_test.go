package provider_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// TestDarkConnection: a connection on which nothing comes any more, of a node that is gone, is given up by itself, and
// another is made.
func TestDarkConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	t.Parallel()
	var issuer string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("over %s", r.Proto)
		}
		_, _ = io.WriteString(w, fmt.Sprintf(`{"issuer":%[1]q,"authorization_endpoint":"%[1]s/a","token_endpoint":"%[1]s/t","jwks_uri":"%[1]s/k"}`, issuer))
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	w := providertest.NewWire(t, s.Listener.Addr().String())
	issuer = "https://" + w.Addr().String()
	roots, now := x509.NewCertPool(), newClock()
	roots.AddCert(s.Certificate())
	p, err := provider.Open(t.Context(), provider.Config{Issuer: issuer, ClientID: clientID, RootCAs: roots, Auth: provider.Auth{Secret: bySecret}, Now: now.Now})
	if err == nil {
		err = p.Ready()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Cut()
	began := time.Now()
	for ctx := deadline(t); ; {
		now.Add(6 * time.Second)
		if err = p.Answers(ctx); err == nil {
			break
		}
		if ctx.Err() != nil || time.Since(began) > 30*time.Second {
			t.Fatalf("for %v: %v", time.Since(began), err)
		}
	}
	t.Logf("another connection after %v", time.Since(began))
}
