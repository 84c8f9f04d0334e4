package vault

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/intercom-broker/intercom/broker/secret"
)

// maxConns bounds what is under way at Vault; more requests wait for their turn.
const maxConns = 32

// lanes are two clients for one Vault. Logins by certificate are judged by the certificate of the
// connection that they come on, so control makes a new connection each time; data keeps its own.
type lanes struct{ data, control *api.Client }

func newLanes(cfg Config) (lanes, error) {
	roots, err := cfg.roots()
	if err != nil {
		return lanes{}, err
	}
	tlsConfig := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if cfg.Auth.Method == Cert {
		tlsConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return clientCertificate(cfg.Identity)
		}
	}
	data, err := newClient(cfg, tlsConfig, true)
	if err != nil {
		return lanes{}, err
	}
	control, err := newClient(cfg, tlsConfig, false)
	return lanes{data, control}, err
}

// clientCertificate is our SVID of now, whatever CAs the server says that it would like: Vault names none
// of a trust domain's.
func clientCertificate(id Identity) (*tls.Certificate, error) {
	svid, err := id.GetX509SVID()
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{PrivateKey: svid.PrivateKey}
	for _, c := range svid.Certificates {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert, nil
}

// newClient returns a client that has nothing from the environment. api.NewClient reads VAULT_TOKEN,
// VAULT_NAMESPACE and VAULT_HEADERS whatever it is given, and each request VAULT_WRAP_TTL, so they are
// taken out again; of the other variables it only sees whether they can be parsed.
//
// HTTP/1.1 is enough, and safer: a request that timed out closes its connection, where HTTP/2 would send
// the next one into the same dead one.
func newClient(cfg Config, tlsConfig *tls.Config, keepAlive bool) (*api.Client, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	next := &http.Transport{
		DialContext:     (&net.Dialer{Timeout: cfg.Timeout / 2}).DialContext,
		TLSClientConfig: tlsConfig, TLSHandshakeTimeout: cfg.Timeout, Protocols: protocols,
		MaxConnsPerHost: maxConns, MaxIdleConnsPerHost: maxConns, IdleConnTimeout: 90 * time.Second,
		DisableKeepAlives: !keepAlive,
	}
	client, err := api.NewClient(&api.Config{
		Address: cfg.Address,
		HttpClient: &http.Client{
			Transport:     &guard{next: next, plaintext: cfg.UnsafePlaintext},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the api follows one itself
		},
		MaxRetries: 0, // whoever waits for us tries again; two layers that do multiply
	})
	if err != nil {
		return nil, fmt.Errorf("hashicorp/vault/api (which parses VAULT_* of the environment even where it is not used): %w", err)
	}
	client.ClearToken()
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	if cfg.Namespace != "" {
		client.SetNamespace(cfg.Namespace)
	}
	return client, nil
}

// withToken is client with a token, which stays unprintable until it is put on the wire.
func withToken(client *api.Client, token secret.Value) *api.Client {
	return client.WithRequestCallbacks(func(r *api.Request) { r.ClientToken = string(token.Reveal()) })
}
