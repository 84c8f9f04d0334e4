package brokertest_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/broker/fault"
)

const (
	oauthPolicy = `p, spiffe://intercom.test/orders, exchange, audience/inventory, allow
p, spiffe://intercom.test/inventory, exchange, audience/ledger, allow
p, spiffe://intercom.test/orders, exchange, audience/ledger, allow
p, spiffe://intercom.test/inventory, introspect, audience/inventory, allow
`
	oauthServices = `version: 1
owner: test
services:
  inventory: { upstream: "https://inventory.internal", token: { scope: [read, write], bind: svid } }
  ledger: { upstream: "http://ledger.internal", token: { scope: [read], bind: none } }
`
)

// As they are on the wire.
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// webBroker is a broker whose web door speaks TLS, as in production.
type webBroker struct {
	*brokertest.Broker
	issuer string
	pki    *pki
}

func startWeb(t *testing.T, o brokertest.Options) *webBroker {
	t.Helper()
	w := &webBroker{pki: newPKI(t, t.TempDir())}
	more := o.Change
	if o.Policy == "" {
		o.Policy = oauthPolicy
	}
	o.Services = oauthServices
	o.Change = func(c *broker.Config) {
		c.Issuer.Scheme = "https"
		c.Listen.Web.Cert, c.Listen.Web.Key = w.pki.cert, w.pki.key
		c.Unsafe = broker.Unsafe{}
		if more != nil {
			more(c)
		}
		w.issuer = c.Issuer.String()
	}
	w.Broker = brokertest.Start(t, o)
	return w
}

// as is a stock HTTPS client that is the workload at path; "" is nobody.
func (w *webBroker) as(t *testing.T, path string) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: w.pki.Pool()}
	if path != "" {
		svid, err := w.Domain.Source(w.ID(path)).GetX509SVID()
		must(t, err)
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{svid.Certificates[0].Raw}, PrivateKey: svid.PrivateKey}}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// post sends a form to an endpoint of the web door, below its own address whatever the issuer is.
func (w *webBroker) post(t *testing.T, c *http.Client, path string, form url.Values) (*http.Response, map[string]any) {
	t.Helper()
	return postForm(t, c, "https://"+w.Web+path, form)
}

func postForm(t *testing.T, c *http.Client, at string, form url.Values) (*http.Response, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(form.Encode()))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := c.Do(req)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	var body map[string]any
	if len(text) > 0 && json.Unmarshal(text, &body) != nil {
		t.Fatalf("%s: %s %s", at, res.Status, text)
	}
	return res, body
}

// TestGoClientAsItComes is golang.org/x/oauth2 with nothing but a TLS configuration: it discovers, gets a
// token by each grant and in each way that it may send its client_id, and go-oidc verifies what it got.
func TestGoClientAsItComes(t *testing.T) {
	w := startWeb(t, brokertest.Options{})
	orders := oidc.ClientContext(t.Context(), w.as(t, "/orders"))
	provider, err := oidc.NewProvider(orders, w.issuer)
	must(t, err)
	verify := func(raw, audience string) *oidc.IDToken {
		verified, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(orders, raw)
		must(t, err)
		return verified
	}
	var held string
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleAutoDetect, oauth2.AuthStyleInParams} {
		config := clientcredentials.Config{ClientID: w.ID("/orders").String(), TokenURL: provider.Endpoint().TokenURL, Scopes: []string{"read"},
			EndpointParams: url.Values{"audience": {"inventory"}}, AuthStyle: style}
		token, err := config.Token(orders)
		if err != nil || token.Type() != "Bearer" || time.Until(token.Expiry) < 4*time.Minute {
			t.Fatalf("%v: %v, %v", style, token, err)
		}
		if verify(token.AccessToken, "inventory").Subject != w.ID("/orders").String() {
			t.Errorf("%v: another subject", style)
		}
		held = token.AccessToken
	}
	inventory := oidc.ClientContext(t.Context(), w.as(t, "/inventory"))
	trade := clientcredentials.Config{ClientID: w.ID("/inventory").String(), TokenURL: provider.Endpoint().TokenURL, EndpointParams: url.Values{
		"grant_type": {grantExchange}, "audience": {"ledger"}, "subject_token": {held}, "subject_token_type": {typeAccessToken}}}
	token, err := trade.Token(inventory)
	must(t, err)
	var claims struct{ Act struct{ Sub string } }
	must(t, verify(token.AccessToken, "ledger").Claims(&claims))
	if claims.Act.Sub != w.ID("/inventory").String() {
		t.Errorf("acts: %+v", claims)
	}
	trade.EndpointParams.Set("audience", "nowhere")
	_, err = trade.Token(inventory)
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || refused.ErrorCode != "invalid_target" || refused.Response.Header.Get(fault.DecisionHeader) == "" {
		t.Errorf("a target that is none: %v", err)
	}
}

// TestForeignCertificateAtTheWebDoor does not even get a connection.
func TestForeignCertificateAtTheWebDoor(t *testing.T) {
	w, other := startWeb(t, brokertest.Options{}), brokertest.Start(t, brokertest.Options{Policy: oauthPolicy, Services: oauthServices})
	svid, err := other.Domain.Source(other.ID("/orders")).GetX509SVID()
	must(t, err)
	client := w.as(t, "")
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{svid.Certificates[0].Raw}, PrivateKey: svid.PrivateKey}}
	if res, err := client.PostForm("https://"+w.Web+"/oauth2/token", url.Values{}); err == nil {
		res.Body.Close()
		t.Errorf("another authority's SVID of the same name: %s", res.Status)
	}
}

// TestWebDoorWithoutTLS believes JWT-SVIDs, and no header.
func TestWebDoorWithoutTLS(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Policy: oauthPolicy, Services: oauthServices})
	form := url.Values{"grant_type": {"client_credentials"}, "audience": {"ledger"}}
	if res, body := postForm(t, application(), b.Issuer+"/oauth2/token", form); res.StatusCode != http.StatusUnauthorized || body["error"] != "invalid_client" {
		t.Errorf("nobody: %s %v", res.Status, body)
	}
	svid, err := b.Domain.JWTSVID(b.ID("/orders"), b.Issuer)
	must(t, err)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe")
	form.Set("client_assertion", svid.Marshal())
	if res, body := postForm(t, application(), b.Issuer+"/oauth2/token", form); res.StatusCode != http.StatusOK || body["access_token"] == "" {
		t.Errorf("by JWT-SVID: %s %v", res.Status, body)
	}
	form.Set("audience", "inventory") // which takes bound tokens only
	if res, body := postForm(t, application(), b.Issuer+"/oauth2/token", form); res.StatusCode != http.StatusBadRequest || body["error"] != "invalid_request" {
		t.Errorf("a bound one: %s %v", res.Status, body)
	}
}

// TestInFlightLimitOnTheWebDoor: the share is one for all doors, and over it there is a time to try again.
func TestInFlightLimitOnTheWebDoor(t *testing.T) {
	w := startWeb(t, brokertest.Options{InFlight: 1})
	started := make(chan struct{}, 16)
	go func() {
		for range w.Client(t, "/orders").WatchServices(t.Context()) {
			started <- struct{}{}
		}
	}()
	select {
	case <-started:
	case <-time.After(30 * time.Second):
		t.Fatal("no list of services")
	}
	form := url.Values{"grant_type": {"client_credentials"}, "audience": {"ledger"}, "token": {"x"}}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		res, body := w.post(t, w.as(t, "/orders"), path, form)
		if res.StatusCode != http.StatusTooManyRequests || body["error"] != "temporarily_unavailable" || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s %v", path, res.Status, body)
		}
		if res, body := w.post(t, w.as(t, "/inventory"), path, form); res.StatusCode == http.StatusTooManyRequests {
			t.Errorf("%s, another caller: %v", path, body)
		}
	}
}

// TestRevokedOnEveryReplica: two brokers share a store and an issuer. What is revoked at one is inactive
// at the other within two seconds, and no subject token any more.
func TestRevokedOnEveryReplica(t *testing.T) {
	one := startWeb(t, brokertest.Options{})
	two := startWeb(t, brokertest.Options{Change: func(c *broker.Config) {
		c.Store.Sealed.Path, c.Store.Sealed.Key.Name = one.Dir+"/store", one.Dir+"/key"
		issuer, err := url.Parse(one.issuer)
		must(t, err)
		c.Issuer.URL = *issuer
	}})
	_, issued := one.post(t, one.as(t, "/orders"), "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "audience": {"inventory"}})
	raw, _ := issued["access_token"].(string)
	about := url.Values{"token": {raw}}
	traded := url.Values{"grant_type": {grantExchange}, "audience": {"ledger"}, "subject_token": {raw}, "subject_token_type": {typeAccessToken}}
	atTwo := two.as(t, "/inventory")
	if _, said := two.post(t, atTwo, "/oauth2/introspect", about); said["active"] != true || said["jti"] == "" {
		t.Fatalf("before: %v", said)
	}
	if res, said := two.post(t, atTwo, "/oauth2/token", traded); res.StatusCode != http.StatusOK {
		t.Fatalf("before: %v", said)
	}
	if res, said := one.post(t, one.as(t, "/orders"), "/oauth2/revoke", about); res.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", res.Status, said)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	eventually(t, "inactive at the other replica", func() error {
		if _, said := two.post(t, atTwo, "/oauth2/introspect", about); said["active"] != false {
			return errors.Join(fmt.Errorf("%v", said), ctx.Err())
		}
		return nil
	})
	t.Logf("known after %v", time.Since(began))
	if res, said := two.post(t, atTwo, "/oauth2/token", traded); res.StatusCode != http.StatusBadRequest || said["error"] != "invalid_request" {
		t.Errorf("as a subject token: %s %v", res.Status, said)
	}
}
