package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/token"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// verifyFlags say against what a token is held.
type verifyFlags struct {
	issuer, audience, jwks string
	ca, cert               string
	json                   bool
}

const verifyLong = `Verify a token of ours as the service would that it is for: the signature, by the
issuer's keys, which are found through its metadata or read from a file; the issuer;
the audience; and that it is alive. With --cert it is also held against the
certificate that it is bound to. The claims go to standard output only when all of it
is good; otherwise it says what failed, with exit code 1.`

func tokenVerify() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use: "verify [FILE|-]", Short: "Verify a token by its issuer's keys", Args: cobra.MaximumNArgs(1), Long: verifyLong,
		Example: `  intercom token verify token.jwt --issuer https://intercom.example.org --audience inventory
  intercom token verify - --issuer https://intercom.example.org --jwks keys.json --audience inventory < token.jwt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.issuer == "" || f.audience == "" {
				return cli.Usagef("want --issuer and --audience: a token is good for who it is for, and only from whom we believe")
			}
			raw, err := tokenArgument(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), string(raw.Reveal()))
		},
	}
	c.Flags().StringVar(&f.issuer, "issuer", "", "whose token it has to be; its metadata lead to the keys")
	c.Flags().StringVar(&f.audience, "audience", "", "for whom it has to be")
	c.Flags().StringVar(&f.jwks, "jwks", "", "a file with the issuer's JWK set; nothing is fetched then")
	c.Flags().StringVar(&f.ca, "ca", "", "a PEM file with authorities that may vouch for the issuer's https, besides the system's")
	c.Flags().StringVar(&f.cert, "cert", "", "a PEM file with the certificate of the connection that brought the token")
	c.Flags().BoolVar(&f.json, "json", false, "as one JSON document")
	return c
}

func (f verifyFlags) run(ctx context.Context, out, errOut io.Writer, raw string) error {
	d, err := decodeToken(raw)
	if err != nil {
		return err
	}
	keys, err := f.keys(ctx)
	if err != nil {
		return err
	}
	if err := f.verify(ctx, &token.Verifier{Issuer: f.issuer, Audience: f.audience, Keys: keys}, raw); err != nil {
		if f.json {
			return errors.Join(writeJSON(out, failed{Reason: fault.From(err).Code(), Message: err.Error()}), cli.Silent)
		}
		return f.say(d, err)
	}
	if d.bound() != "" && f.cert == "" {
		fmt.Fprintln(errOut, "The token is bound to a certificate; that whoever brings it has that certificate was not looked at (--cert).")
	}
	if f.json {
		return writeJSON(out, d.document(true, time.Now()))
	}
	fmt.Fprintln(out, cli.PaintFor(out).Good("verified"))
	d.print(out, time.Now())
	return nil
}

// failed is the JSON form of a token that is not good.
type failed struct {
	Verified bool   `json:"verified"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

func (f verifyFlags) verify(ctx context.Context, v *token.Verifier, raw string) error {
	if f.cert == "" {
		_, err := v.VerifyWithoutPossession(ctx, raw)
		return err
	}
	data, err := os.ReadFile(f.cert)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return fmt.Errorf("%s does not begin with a PEM certificate", f.cert)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", f.cert, err)
	}
	_, err = v.Verify(ctx, raw, cert)
	return err
}

// say puts what was wanted beside what the token says: the verifier itself tells bringers of tokens
// nothing, but who runs this holds the token.
func (f verifyFlags) say(d decoded, err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return cli.Hint(err, "the token is for %s, and --audience is %s", harmless(text(d.Claims["aud"])), f.audience)
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return cli.Hint(err, "the token is from %s, and --issuer is %s", harmless(text(d.Claims["iss"])), f.issuer)
	case errors.Is(err, jwt.ErrTokenExpired):
		exp, _ := moment(d.Claims["exp"])
		return cli.Hint(err, "it ended at %s: %s", exp.Format(time.RFC3339), left(exp, time.Now()))
	case errors.Is(err, fault.NotFound):
		return cli.Hint(err, "its kid is %s: the key is none of the issuer's now", harmless(text(d.Header["kid"])))
	case fault.From(err).Reason == token.ReasonBound:
		return cli.Hint(err, "it is bound to %s", harmless(d.bound()))
	}
	return err
}

func (f verifyFlags) keys(ctx context.Context) (token.KeySource, error) {
	if f.jwks != "" {
		data, err := os.ReadFile(f.jwks)
		if err != nil {
			return nil, err
		}
		keys, err := token.StaticKeys(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.jwks, err)
		}
		return keys, nil
	}
	if err := trustworthy(f.issuer); err != nil {
		return nil, err
	}
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), f.issuer)
	if err != nil {
		return nil, cli.Hint(fmt.Errorf("the metadata of %s: %w", f.issuer, err), "--jwks FILE takes the keys from a file")
	}
	var metadata struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, err
	}
	return token.RemoteKeys(client, metadata.Keys), nil
}

// trustworthy refuses what somebody on the way could change.
func trustworthy(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return cli.Usagef("--issuer %q is no URL", issuer)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return cli.Usagef("--issuer %s is not https: whoever can change the answer on the way can sign tokens", issuer)
}

// client follows no redirects: the issuer is who it says, and nobody else.
func (f verifyFlags) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if f.ca != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s holds no PEM certificate", f.ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
