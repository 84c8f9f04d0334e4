package brokertest_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// foreignClient is who a client of another language is, and the files that prove it.
type foreignClient struct {
	ID      string `json:"id"`
	Cert    string `json:"cert"`
	Key     string `json:"key"`
	JWTSVID string `json:"jwt_svid"`
}

// foreign makes the workload at path known to programs that read files.
func (w *webBroker) foreign(t *testing.T, path string) foreignClient {
	t.Helper()
	c := foreignClient{ID: w.ID(path).String()}
	c.Cert, c.Key = svidFiles(t, w.Broker, path)
	svid, err := w.Domain.JWTSVID(w.ID(path), w.issuer)
	must(t, err)
	c.JWTSVID = svid.Marshal()
	return c
}

// svidFiles writes the X.509-SVID of the workload at path.
func svidFiles(t *testing.T, b *brokertest.Broker, path string) (cert, key string) {
	t.Helper()
	svid, err := b.Domain.Source(b.ID(path)).GetX509SVID()
	must(t, err)
	certPEM, keyPEM, err := svid.Marshal()
	must(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "svid.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(cert, certPEM, 0o600))
	must(t, os.WriteFile(key, keyPEM, 0o600))
	return cert, key
}

// foreignAnswer is what the scripts in testdata print.
type foreignAnswer struct {
	Own      foreignClaims `json:"client_credentials"`
	Exchange foreignClaims `json:"exchange"`
	Asserted foreignClaims `json:"assertion"`
	Refused  string        `json:"refused"`
	Active   []bool        `json:"active"`
}

// foreignClaims are those of a token that another library has verified.
type foreignClaims struct {
	Sub   string `json:"sub"`
	Aud   string `json:"aud"`
	Scope string `json:"scope"`
	Act   struct {
		Sub string `json:"sub"`
	} `json:"act"`
}

// TestForeignClients runs OAuth clients of other languages, as their registries serve them: each discovers,
// gets a token by each grant, with its certificate and with a JWT-SVID, and verifies it with a JOSE library of
// its own language; each is refused, introspects and revokes.
func TestForeignClients(t *testing.T) {
	for name, command := range map[string]func(testing.TB, string) *exec.Cmd{
		"authlib": func(t testing.TB, task string) *exec.Cmd {
			return stack.Python(t, "testdata/oauth.py", "authlib", task)
		},
		"requests": func(t testing.TB, task string) *exec.Cmd {
			return stack.Python(t, "testdata/oauth.py", "requests", task)
		},
		"openid-client": func(t testing.TB, task string) *exec.Cmd {
			return stack.Node(t, "testdata/oauth.mjs", task)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWeb(t, brokertest.Options{})
			task, err := json.Marshal(map[string]any{
				"issuer": w.issuer, "ca": w.pki.File, "orders": w.foreign(t, "/orders"), "inventory": w.foreign(t, "/inventory"),
			})
			must(t, err)
			file := filepath.Join(t.TempDir(), "task.json")
			must(t, os.WriteFile(file, task, 0o600))
			checkForeign(t, w, printed(t, command(t, file)))
		})
	}
}

// printed returns what a command prints; when it fails, so does the test, with what it said.
func printed(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return out.String()
}

func checkForeign(t *testing.T, w *webBroker, text string) {
	t.Helper()
	orders := w.ID("/orders").String()
	want := foreignAnswer{
		Own:      foreignClaims{Sub: orders, Aud: "inventory", Scope: "read"},
		Exchange: foreignClaims{Sub: orders, Aud: "ledger", Scope: "read"},
		Asserted: foreignClaims{Sub: orders, Aud: "ledger", Scope: "read"},
		Refused:  "invalid_target",
		Active:   []bool{true, false},
	}
	want.Exchange.Act.Sub = w.ID("/inventory").String()
	var got foreignAnswer
	must(t, json.Unmarshal([]byte(text), &got))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
}

// TestGoClientByJWTSVID is golang.org/x/oauth2 where no certificate gets through to us.
func TestGoClientByJWTSVID(t *testing.T) {
	w := startWeb(t, brokertest.Options{})
	ctx := oidc.ClientContext(t.Context(), w.as(t, ""))
	provider, err := oidc.NewProvider(ctx, w.issuer)
	must(t, err)
	for _, kind := range []string{authn.AssertionJWTSVID, authn.AssertionJWT} {
		config := clientcredentials.Config{TokenURL: provider.Endpoint().TokenURL, EndpointParams: url.Values{
			"audience": {"ledger"}, "client_assertion_type": {kind}, "client_assertion": {w.foreign(t, "/orders").JWTSVID}}}
		token, err := config.Token(ctx)
		must(t, err)
		verified, err := provider.Verifier(&oidc.Config{ClientID: "ledger"}).Verify(ctx, token.AccessToken)
		if err != nil || verified.Subject != w.ID("/orders").String() || time.Until(verified.Expiry) <= 0 {
			t.Errorf("%s: %+v, %v", kind, verified, err)
		}
	}
}

// TestGRPCurl is grpcurl with nothing but files: it verifies our SVID by a DNS name, learns from reflection
// what there is, and gets a token by it.
func TestGRPCurl(t *testing.T) {
	program := stack.Binary(t, "grpcurl")
	b := brokertest.Start(t, brokertest.Options{
		Policy: "p, spiffe://intercom.test/orders, reflect, grpc, allow\n" + oauthPolicy, Services: oauthServices,
		Change: func(c *broker.Config) { c.Reflection = true },
	})
	b.Domain.SetDNS(b.ID("/broker"), "localhost")
	bundle, err := b.Domain.Bundle().X509Bundle().Marshal()
	must(t, err)
	ca := filepath.Join(t.TempDir(), "bundle.pem")
	must(t, os.WriteFile(ca, bundle, 0o600))
	_, port, _ := strings.Cut(b.Mesh, ":")
	grpcurl := func(path string, args ...string) (string, error) {
		cert, key := svidFiles(t, b, path)
		cmd := exec.CommandContext(t.Context(), program, append([]string{"-cacert", ca, "-cert", cert, "-key", key, "-max-time", "30"}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	server := "localhost:" + port
	eventually(t, "the door has the SVID with the name", func() error {
		_, err := grpcurl("/orders", server, "list")
		return err
	})
	out, err := grpcurl("/orders", server, "list")
	if err != nil || !strings.Contains(out, "intercom.v1.TokenExchange\n") {
		t.Errorf("list: %v\n%s", err, out)
	}
	out, err = grpcurl("/orders", server, "describe", "intercom.v1.TokenExchange.Exchange")
	if err != nil || !strings.Contains(out, ".intercom.v1.ExchangeRequest") {
		t.Errorf("describe: %v\n%s", err, out)
	}
	out, err = grpcurl("/orders", "-d", `{"audience": ["ledger"]}`, server, "intercom.v1.TokenExchange/Exchange")
	var answer struct{ AccessToken, TokenType string }
	if err != nil || json.Unmarshal([]byte(out), &answer) != nil || strings.Count(answer.AccessToken, ".") != 2 || answer.TokenType != "Bearer" {
		t.Errorf("Exchange: %v\n%s", err, out)
	}
	if out, err = grpcurl("/inventory", server, "list"); err == nil || !strings.Contains(out, "PermissionDenied") {
		t.Errorf("whom policy does not allow it: %v\n%s", err, out)
	}
}
