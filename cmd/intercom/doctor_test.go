package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
)

// TestDoctorLooks is how rows look: in columns, no line longer than 100 but for an address, nothing that speaks to the
// terminal.
func TestDoctorLooks(t *testing.T) {
	var out bytes.Buffer
	err := printRows(&out, []doctor.Row{
		{Of: "gateway.yaml", Check: "identity", Status: doctor.OK, Seen: "we are spiffe://example.org/gateway for 42m0s more, of 1h0m0s; 1 authority of our trust domain"},
		{Of: "gateway.yaml", Check: "provider-client", Status: doctor.Fail, Seen: `the provider does not know us by client_secret_basic: the provider answered 401 "unauthorized_client" "Invalid client or Invalid client credentials"`,
			Setting: "provider.secret", File: "gateway.yaml", Line: 12, Cure: "put the client secret there that stands at the provider, or correct provider.client_id"},
		{Of: "gateway.yaml", Check: "redirect-uri", About: "https://icom.example.org", Status: doctor.Fail, Seen: "its callback is not registered: the provider answers 400, and does not lead back",
			Cure: "register https://icom.example.org/bff/callback as a redirect URI of the client intercom at the provider"},
		{Of: "gateway.yaml", Check: "upstream", About: "crm", Status: doctor.Warn, Seen: "the certificate of crm.internal:443 ends in 3 days\x1b[31m", File: "services/crm.yaml", Line: 4, Cure: "renew the service's certificate"},
		{Check: "clock", Status: doctor.Skip, Seen: "nobody who was asked said what time it is"},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/doctor.golden", out.String())
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > lineWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got\n%s", file, diff)
	}
}

// doctorOf runs the command and returns its exit code and what it printed.
func doctorOf(t *testing.T, args ...string) (code int, stdout string) {
	t.Helper()
	c := root()
	var out, errOut bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&errOut)
	c.SetArgs(append([]string{"doctor"}, args...))
	code = cli.Run(t.Context(), c, &errOut)
	if errOut.Len() > 0 {
		t.Log(errOut.String())
	}
	return code, out.String()
}

const doctorFile = `version: 1
issuer: https://intercom.test
identity: { socket: "unix://%s/b.sock" }
listen: { mesh: "127.0.0.1:1", egress: "127.0.0.1:2", web: { address: "127.0.0.1:3" } }
policy: policy
services: services
store: { sealed: { path: store, key: "file:key" } }
audit: { dir: audit }
`

// TestDoctorOfABroker looks at a running broker, and then at one with a policy that says nothing.
func TestDoctorOfABroker(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{
		Policy:   "p, spiffe://intercom.test/orders, exchange, audience/ledger, allow\n",
		Services: "version: 1\nowner: team\nservices:\n  ledger: https://ledger.internal\n",
	})
	file := filepath.Join(b.Dir, "broker.yaml")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(strings.ReplaceAll(text, "%s", b.Dir), "file:key", "file:"+filepath.Join(b.Dir, "key"))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, doctorFile)
	if code, out := doctorOf(t, "--config", file); code != cli.OK || !strings.Contains(out, "we are spiffe://intercom.test/broker") {
		t.Errorf("exit %d\n%s", code, out)
	}
	write(filepath.Join(b.Dir, "policy", "policy.csv"), "p, spiffe://intercom.test/orders, exchange, audience/ledgr, allow\n")
	code, out := doctorOf(t, "--broker", file, "--json")
	var d diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != cli.OK || d.Version != 1 || d.Failures != 0 || d.Warnings == 0 {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	for _, row := range d.Checks {
		if row.Check == policy.FindingUnknown && row.Status == doctor.Warn && row.Line == 1 && strings.HasSuffix(row.File, "policy.csv") {
			return
		}
	}
	t.Errorf("a rule that no request matches is not named:\n%s", out)
}
