package exchange_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/token"
)

const oauthRules = `p, spiffe://a.test/batch, exchange, audience/inventory, allow
p, spiffe://a.test/batch, exchange, grant/client-credentials, deny
p, spiffe://a.test/ledger, introspect, audience/ledger, allow
p, spiffe://a.test/auditor, admin, admin/revoke/**, allow
p, spiffe://a.test/careless, exchange, audience/inventory, allow
p, spiffe://a.test/careless, admin, admin/revoke/**, deny
`

// door is the OAuth door on TLS, in front of a real exchange and a sealed store.
type door struct {
	*broker
	oauth   *exchange.OAuth
	revoked *exchange.Revocations
	domain  *embedded.Domain
	sources map[string]*embedded.Source
	server  *httptest.Server
}

func newDomain(t testing.TB) *embedded.Domain {
	t.Helper()
	d, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("a.test")})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newStore(t testing.TB) credential.Store {
	t.Helper()
	dir := t.TempDir()
	key, err := sealed.CreateKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := sealed.Open(sealed.Config{Path: filepath.Join(dir, "store"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// newOAuth returns the door and what it opens, without a listener.
func newOAuth(t testing.TB) *door {
	t.Helper()
	d := &door{broker: newBroker(t), domain: newDomain(t), sources: map[string]*embedded.Source{}}
	source := d.domain.Source(d.domain.ID("/broker"))
	svids, err := authn.New(authn.Config{Domains: []spiffeid.TrustDomain{d.domain.Name()}, JWTBundles: source, Audience: issuer})
	if err != nil {
		t.Fatal(err)
	}
	keys := token.LocalKeys(d.ring.Lookup)
	d.revoked = exchange.NewRevocations(newStore(t), nil, nil)
	d.Subjects[exchange.TypeAccessToken] = d.revoked.Unrevoked(exchange.OwnTokens(issuer, keys, nil))
	d.Subjects[exchange.TypeJWT] = exchange.JWTSVIDs(svids)
	d.oauth = &exchange.OAuth{Service: d.Service, Client: svids.Client, Keys: keys, Revoked: d.revoked, SignReply: d.ring.SignReply}
	return d
}

func newDoor(t testing.TB) *door {
	t.Helper()
	d := newOAuth(t)
	mux := http.NewServeMux()
	d.oauth.Mount(mux)
	d.server = httptest.NewUnstartedServer(mux)
	source := d.domain.Source(d.domain.ID("/broker"))
	// No certificate of ours: httptest has one that its client trusts.
	ours := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil } //nolint:nilnil // see crypto/tls
	d.server.TLS = mtls.Web(ours, source, mtls.AllowDomains(d.domain.Name()), "http/1.1")
	d.server.StartTLS()
	t.Cleanup(d.server.Close)
	return d
}

// client shows the certificate of the workload at path, and none for "".
func (d *door) client(path string) *http.Client {
	transport := d.server.Client().Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	if path != "" {
		source := d.source(path)
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			svid, err := source.GetX509SVID()
			if err != nil {
				return nil, err
			}
			return &tls.Certificate{Certificate: [][]byte{svid.Certificates[0].Raw}, PrivateKey: svid.PrivateKey}, nil
		}
	}
	return &http.Client{Transport: transport}
}

// source keeps its X.509-SVID.
func (d *door) source(path string) *embedded.Source {
	if d.sources[path] == nil {
		d.sources[path] = d.domain.Source(d.domain.ID(path))
	}
	return d.sources[path]
}

// svid is a JWT-SVID of the workload at path whose audience is us.
func (d *door) svid(t testing.TB, path string) string {
	t.Helper()
	svid, err := d.domain.JWTSVID(d.domain.ID(path), issuer)
	if err != nil {
		t.Fatal(err)
	}
	return svid.Marshal()
}

// said is what came back.
type said struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

func (a said) str(name string) string { s, _ := a.json[name].(string); return s }

func send(t testing.TB, c *http.Client, req *http.Request) said {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := said{status: res.StatusCode, header: res.Header, text: string(body)}
	_ = json.Unmarshal(body, &a.json)
	return a
}

func (d *door) request(t testing.TB, path, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// post sends a form, given as names and values in turn, as the workload that has that certificate.
func (d *door) post(t testing.TB, as, path string, form ...string) said {
	t.Helper()
	return send(t, d.client(as), d.request(t, path, encode(form...)))
}

func encode(form ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	return values.Encode()
}

// mint returns a token of that audience whose subject and client is the workload.
func (d *door) mint(t testing.TB, as, audience string) string {
	t.Helper()
	a := d.post(t, as, "/oauth2/token", "grant_type", "client_credentials", "audience", audience)
	if a.status != http.StatusOK {
		t.Fatalf("no token for %s: %d %s", as, a.status, a.text)
	}
	return a.str("access_token")
}
