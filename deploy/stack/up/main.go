// Command up starts Vault and two federated SPIRE trust domains on loopback, prints how to reach them, and
// stops them on Ctrl-C. Nothing that it starts is for production: the root token is printed.
//
//	go run ./deploy/stack/up [TRUST-DOMAIN...]
//
// INTERCOM_STACK=build lets it build what is missing, see package stack.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	domains := os.Args[1:]
	if len(domains) == 0 {
		domains = []string{"a.test", "b.test"}
	}
	if err := run(ctx, os.Stdout, domains); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

// run starts everything, prints what there is, and waits for the end of ctx.
func run(ctx context.Context, out io.Writer, domains []string) (err error) {
	vault, err := stack.OpenVault(ctx, stack.VaultOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = vault.Stop() }()
	if _, err := vault.Do(ctx, http.MethodPost, "sys/mounts/secret", map[string]any{
		"type": "kv", "options": map[string]any{"version": "2"},
	}); err != nil {
		return err
	}
	spire, err := stack.OpenSPIRE(ctx, domains...)
	if err != nil {
		return err
	}
	defer func() { _ = spire.Stop() }()
	show(out, vault, spire)
	<-ctx.Done()
	fmt.Fprintln(out, "\nstopping")
	return nil
}

// show prints lines that can be pasted into a shell.
func show(out io.Writer, vault *stack.VaultServer, spire *stack.SPIREServers) {
	fmt.Fprintf(out, `
# Vault, in memory; KV version 2 at secret/
export VAULT_ADDR=%[1]s VAULT_TOKEN=%[2]s VAULT_CACERT=%[3]s
# ... for go test
export INTERCOM_TEST_VAULT_ADDR=%[1]s INTERCOM_TEST_VAULT_TOKEN=%[2]s INTERCOM_TEST_VAULT_CACERT=%[3]s
`, vault.Addr, vault.Token, vault.CACert)
	for _, d := range spire.Domains {
		fmt.Fprintf(out, `
# SPIRE, trust domain %[1]s
export SPIFFE_ENDPOINT_SOCKET=%[2]s
%[3]s entry create -parentID spiffe://%[1]s/agent -spiffeID spiffe://%[1]s/web -selector unix:uid:%[4]d -socketPath %[5]s
`, d.Name, d.AgentSocket, d.Program, os.Getuid(), d.ServerSocket[len("unix://"):])
	}
	fmt.Fprintln(out, "\nready; Ctrl-C stops everything")
}
