package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/broker/token"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/sidecar"
)

func tokenCommand() *cobra.Command {
	return group("token", "Get, exchange, decode and verify tokens", tokenGet(), tokenExchange(), tokenDecode(), tokenVerify())
}

// brokerFlags say who we are, and where the brokers are and who they must be.
type brokerFlags struct {
	sidecar           string
	socket, cert, key string
	bundles           map[string]string
	brokers           []string
	id                string
	wait              time.Duration
}

func (f *brokerFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.sidecar, "sidecar", "", "a sidecar's file, which says who we are and where the brokers are")
	c.Flags().StringVar(&f.socket, "socket", "", "instead of --sidecar: the Workload API, unix:///run/spire/agent.sock; SPIFFE_ENDPOINT_SOCKET when absent")
	c.Flags().StringVar(&f.cert, "cert", "", "instead of --socket: a PEM file with the X.509-SVID and its chain")
	c.Flags().StringVar(&f.key, "key", "", "instead of --socket: a PEM file with its key")
	c.Flags().StringToStringVar(&f.bundles, "bundle", nil, "instead of --socket: DOMAIN=FILE with a trust domain's authorities; may be repeated")
	c.Flags().StringSliceVar(&f.brokers, "broker", nil, "instead of --sidecar: a broker's mesh door, host:port; may be repeated")
	c.Flags().StringVar(&f.id, "broker-id", "", "instead of --sidecar: the SPIFFE ID that a broker must prove")
	c.Flags().DurationVar(&f.wait, "timeout", 10*time.Second, "how long the Workload API and the broker may take")
}

// resolve fills the flags from the sidecar's file and the environment.
func (f *brokerFlags) resolve() (broker spiffeid.ID, err error) {
	if f.sidecar != "" {
		cfg, err := sidecar.Load(f.sidecar)
		if err != nil {
			return broker, cli.Hint(err, "intercom check --sidecar %s", f.sidecar)
		}
		f.socket, f.cert, f.key, f.bundles = cfg.Identity.Socket, cfg.Identity.Cert, cfg.Identity.Key, cfg.Identity.Bundles
		f.brokers, f.id = cfg.Brokers.Mesh, cfg.Brokers.ID.String()
	}
	if f.cert == "" && f.socket == "" {
		f.socket = os.Getenv("SPIFFE_ENDPOINT_SOCKET")
	}
	switch {
	case len(f.brokers) == 0 || f.id == "":
		return broker, cli.Usagef("want --sidecar, or --broker and --broker-id")
	case f.cert == "" && f.socket == "":
		return broker, cli.Usagef("want --socket, or --cert, --key and --bundle: a broker lets nobody in without an SVID")
	}
	if broker, err = spiffeid.FromString(f.id); err != nil {
		return broker, cli.Usagef("--broker-id %q: %v", f.id, err)
	}
	return broker, nil
}

// dial returns a client that has proven nothing yet, and how to let go of it.
func (f *brokerFlags) dial(ctx context.Context) (*client.Client, func(), error) {
	broker, err := f.resolve()
	if err != nil {
		return nil, nil, err
	}
	source, err := svid.Open(ctx, svid.Config{Socket: f.socket, CertFile: f.cert, KeyFile: f.key, Bundles: f.bundles, Wait: f.wait})
	if err != nil {
		return nil, nil, err
	}
	c, err := client.New(client.Config{Addresses: f.brokers, Source: source, Brokers: tlsconfig.AuthorizeID(broker), Timeout: f.wait})
	if err != nil {
		_ = source.Close()
		return nil, nil, err
	}
	return c, func() { _ = errors.Join(c.Close(), source.Close()) }, nil
}

// tokenTypes are the short names of RFC 8693, section 3, and of what else a subject may come as.
func tokenTypes() map[string]string {
	const ietf = "urn:ietf:params:oauth:token-type:"
	return map[string]string{"access_token": ietf + "access_token", "jwt": ietf + "jwt", "id_token": ietf + "id_token"}
}

func tokenType(name string) (string, error) {
	if strings.Contains(name, ":") {
		return name, nil
	}
	if urn, ok := tokenTypes()[name]; ok {
		return urn, nil
	}
	return "", cli.Usagef("no type of token is called %q: there are %s, and URNs", name, strings.Join(slices.Sorted(maps.Keys(tokenTypes())), ", "))
}

// tokenArgument reads the token of a command that takes one file, or standard input without saying so
// where something is piped in.
func tokenArgument(args []string, in io.Reader) (secret.Value, error) {
	if len(args) == 1 {
		return readToken(args[0], in)
	}
	if f, ok := in.(*os.File); ok && cli.Interactive(f) {
		return secret.Value{}, cli.Usagef("want a file with the token, or a token on standard input")
	}
	return readToken("-", in)
}

// readToken reads a token from a file, or from standard input where that is `-`. On the command line it
// would be seen by everybody on the machine, and kept in the shell's history.
func readToken(from string, in io.Reader) (secret.Value, error) {
	if strings.HasPrefix(from, "eyJ") && strings.Count(from, ".") >= 2 {
		return secret.Value{}, cli.Usagef("a token may not stand on the command line: write it into a file, or pipe it and write -")
	}
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return secret.Value{}, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, token.MaxBytes+2))
	if err != nil {
		return secret.Value{}, err
	}
	text := strings.TrimPrefix(strings.TrimSpace(string(data)), "Bearer ")
	switch {
	case text == "":
		return secret.Value{}, fmt.Errorf("%s holds no token", source(from))
	case len(text) > token.MaxBytes:
		return secret.Value{}, fmt.Errorf("%s holds more than the %d bytes that a token may have", source(from), token.MaxBytes)
	}
	return secret.FromString(text), nil
}

func source(from string) string {
	if from == "-" {
		return "standard input"
	}
	return from
}
