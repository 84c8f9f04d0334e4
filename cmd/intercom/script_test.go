package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"intercom": func() { os.Exit(cli.Main(root())) },
	})
}

// TestScripts types the commands as users do.
func TestScripts(t *testing.T) {
	sample, err := filepath.Abs("../../deploy/sample")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: func(e *testscript.Env) error {
		e.Setenv("SAMPLE", sample)
		return nil
	}})
}

// The broker that the token scripts speak to.
const (
	tokenPolicy = `p, spiffe://intercom.test/orders, exchange, audience/inventory, allow
p, spiffe://intercom.test/orders, exchange, audience/ledger, allow
p, spiffe://intercom.test/operator, exchange, audience/inventory, allow
p, spiffe://intercom.test/operator, explain, pdp, allow
p, spiffe://intercom.test/operator, introspect, audience/inventory, allow
`
	tokenServices = `version: 1
owner: team
services:
  inventory:
    upstream: http://inventory.internal
    token: { bind: none, scope: [read, write] }
  ledger: https://ledger.internal
  secret: https://secret.internal
`
)

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, res.Status, err)
	}
	return body
}

// TestTokenScripts types the commands that need a broker: orders and operator have a Workload API each.
func TestTokenScripts(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Policy: tokenPolicy, Services: tokenServices})
	sockets := map[string]string{}
	for _, name := range []string{"orders", "operator"} {
		api, err := b.Domain.Listen(filepath.Join(b.Dir, name[:2]+".sock"), b.ID("/"+name))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- api.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		sockets[name] = api.Address()
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/token", Setup: func(e *testscript.Env) error {
		e.Vars = append(e.Vars, "MESH="+b.Mesh, "ISSUER="+b.Issuer, "ORDERS="+sockets["orders"], "OPERATOR="+sockets["operator"],
			"BROKER="+b.ID("/broker").String())
		return os.WriteFile(filepath.Join(e.WorkDir, "keys.json"), fetch(t, b.Issuer+"/oauth2/jwks"), 0o600)
	}})
}
