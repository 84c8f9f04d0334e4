package broker

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// TestIssuerOnADarkConnection: a connection to a node of the issuer's that is gone does not keep its new keys from us.
func TestIssuerOnADarkConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("over %s", r.Proto)
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	w := providertest.NewWire(t, s.Listener.Addr().String())
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	client := http.Client{Transport: issuerTransport(pool), Timeout: 2 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	ask := func() error {
		res, err := client.Get("https://" + w.Addr().String())
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	w.Cut()
	for began := time.Now(); ; {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("for %v: %v", time.Since(began), err)
		}
	}
}
