package dev

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// Page prints what runs where, and what to try next.
func (w *World) Page(out io.Writer) {
	p := cli.PaintFor(out)
	fmt.Fprintf(out, "%s %s\n\n", p.Bold("intercom dev"), p.Warn("NOT FOR PRODUCTION: it attests nobody, and its keys end with it"))
	for _, row := range [][2]string{
		{"everything it writes", w.Dir},
		{"trust domain", "spiffe://intercom.test"},
		{"Workload API of orders", w.socket("orders")},
		{"broker, mesh (gRPC, mTLS)", w.Mesh},
		{"broker, egress (HTTP, mTLS)", w.Egress},
		{"broker, web (keys, metadata)", w.Issuer},
		{"broker, admin", "http://" + w.Admin + "/metrics"},
		{"sidecar of orders", w.Sidecar},
		{"gateway, for browsers", w.Gateway},
		{"OpenID provider", w.Provider},
		{"orders, the caller", w.Orders + "/orders"},
		{"inventory, wants a token", "http://" + w.Inventory + "/items"},
		{"crm, wants a password", "http://" + w.CRM + "/customers"},
	} {
		fmt.Fprintf(out, "  %-30s %s\n", row[0], row[1])
	}
	if w.Sidecar != "http://"+usualSidecar {
		fmt.Fprintf(out, "\n  %s\n", p.Warn("The sidecar is not at "+usualSidecar+", which is taken or was not asked for: use the addresses below."))
	}
	fmt.Fprintf(out, "\n%s\n  %s\n  %s\n", p.Bold("Open in a browser"), p.Command(w.Gateway), p.Dim("# log in as alice or bob, call two services, log out; the password is the name"))
	tool := Tool()
	fmt.Fprintf(out, "\n%s\n", p.Bold("Try, in another terminal"))
	for _, try := range [][2]string{
		{"what orders holds: nothing, so inventory refuses", "curl -i http://" + w.Inventory + "/items"},
		{"through its sidecar: a token is minted on the way", "curl -i " + w.Sidecar + "/inventory/items"},
		{"crm gets user and password, orders never sees them", "curl -i " + w.Sidecar + "/crm/customers"},
		{"a token for yourself, as orders, and what it says", w.tokenCommand(tool) + " | " + tool + " token decode -"},
		{"the same, verified by the broker's published keys", w.tokenCommand(tool) + " | " + tool + " token verify - --audience inventory --issuer " + w.Issuer},
		{"policy says no; note the decision id", "curl -i -X DELETE " + w.Sidecar + "/crm/customers/7"},
		{"why", tool + " policy explain --audit " + quoted(w.path("audit")) + " DECISION-ID"},
		{"the same question without an id", tool + " policy explain --policy " + quoted(w.path("policy")) +
			" --as spiffe://intercom.test/orders --action call --on service/crm/DELETE/customers/7"},
		{"who did what", tool + " audit tail --audit " + quoted(w.path("audit"))},
	} {
		fmt.Fprintf(out, "  %s\n    %s\n", p.Dim("# "+try[0]), p.Command(try[1]))
	}
	fmt.Fprintf(out, "\nThe policy is %s, the services are in %s: edit them and try again.\nWhat is refused is said here and in %s. Ctrl-C ends everything",
		filepath.Join(w.path("policy"), "policy.csv"), w.path("services"), w.path("broker.log"))
	if w.temporary {
		fmt.Fprint(out, " and removes the directory")
	}
	fmt.Fprintln(out, ".")
}

// tokenCommand gets a token as orders does.
func (w *World) tokenCommand(tool string) string {
	return tool + " token get --audience inventory --socket " + quoted(w.socket("orders")) + " --broker " + w.Mesh +
		" --broker-id spiffe://intercom.test/broker"
}

// quoted is a path as a shell wants it.
func quoted(path string) string {
	if strings.ContainsAny(path, " '\"$&;()*?[]<>|\\`") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// Tool is how this very program is run again: by its name, or by go run where it came from there.
func Tool() string {
	exe, err := os.Executable()
	if err != nil || strings.Contains(exe, "go-build") {
		return "go run ./cmd/intercom"
	}
	return os.Args[0]
}
