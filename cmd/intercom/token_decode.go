package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// decoded is what a token says, of which nothing is proven. The signature is not kept: who has header,
// claims and signature has the token.
type decoded struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`
}

// decodeToken takes a JWS in compact form apart (RFC 7515, section 7.1).
func decodeToken(raw string) (d decoded, err error) {
	parts := strings.Split(raw, ".")
	switch len(parts) {
	case 3:
	case 5:
		return d, errors.New("the token is encrypted (a JWE): only who it is for can read it")
	default:
		return d, fmt.Errorf("not a JWT: want three parts with dots between them, got %d", len(parts))
	}
	if d.Header, err = decodePart(parts[0]); err != nil {
		return d, fmt.Errorf("the token's header: %w", err)
	}
	if d.Claims, err = decodePart(parts[1]); err != nil {
		return d, fmt.Errorf("the token's claims: %w", err)
	}
	return d, nil
}

func decodePart(part string) (m map[string]any, err error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || strings.ContainsAny(part, "\r\n") { // which Go's base64 passes over
		return nil, errors.New("not base64url")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil || m == nil {
		return nil, errors.New("not a JSON object")
	}
	if dec.More() {
		return nil, errors.New("more than a JSON object")
	}
	return m, nil
}

func tokenDecode() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "decode [FILE|-]", Short: "Print what a token says, without verifying any of it", Args: cobra.MaximumNArgs(1),
		Long: `Print what a token says: its header and its claims, when it expires, what it is
bound to and who acts. Nothing is fetched and nothing is verified; the signature is
not printed. The token is read from a file or from standard input.`,
		Example: "  intercom token decode token.jwt\n  intercom token decode - --json < token.jwt",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := tokenArgument(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			d, err := decodeToken(string(raw.Reveal()))
			if err != nil {
				return err
			}
			paint := cli.PaintFor(cmd.ErrOrStderr())
			fmt.Fprintln(cmd.ErrOrStderr(), paint.Bad("NOTHING HERE WAS VERIFIED: anybody can write such a token. intercom token verify verifies one."))
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), d.document(false, time.Now()))
			}
			d.print(cmd.OutOrStdout(), time.Now())
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as one JSON document")
	return c
}

// told is the JSON form of what a token says.
type told struct {
	Verified bool     `json:"verified"`
	Expired  bool     `json:"expired"`
	Bound    string   `json:"bound_to,omitempty"`
	Actors   []string `json:"actors"`
	decoded
}

func (d decoded) document(verified bool, now time.Time) told {
	exp, ok := moment(d.Claims["exp"])
	return told{Verified: verified, Expired: ok && !now.Before(exp), Bound: d.bound(), Actors: append([]string{}, d.actors()...), decoded: d}
}

func (d decoded) bound() string {
	cnf, _ := d.Claims["cnf"].(map[string]any)
	thumbprint, _ := cnf["x5t#S256"].(string)
	return thumbprint
}

// maxActors bounds a chain that nobody has vouched for.
const maxActors = 32

// actors are who acts, the one who acts now first (RFC 8693, section 4.1).
func (d decoded) actors() (names []string) {
	act, _ := d.Claims["act"].(map[string]any)
	for ; act != nil && len(names) < maxActors; act, _ = act["act"].(map[string]any) {
		sub, _ := act["sub"].(string)
		names = append(names, sub)
	}
	return names
}

// moment reads a NumericDate (RFC 7519, section 2).
func moment(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

func (d decoded) print(w io.Writer, now time.Time) {
	paint := cli.PaintFor(w)
	fmt.Fprintln(w, paint.Bold("header"))
	printMembers(w, d.Header, []string{"typ", "alg", "kid"}, func(string, any) string { return "" })
	fmt.Fprintln(w, paint.Bold("claims"))
	printMembers(w, d.Claims, []string{"iss", "sub", "aud", "client_id", "scope", "exp", "iat", "nbf", "act", "cnf"}, func(name string, v any) string {
		return d.remark(paint, name, v, now)
	})
}

// remark says what a claim means where that is not plain.
func (d decoded) remark(paint cli.Paint, name string, v any, now time.Time) string {
	switch name {
	case "exp":
		t, ok := moment(v)
		if !ok {
			return paint.Bad("no moment")
		}
		if !now.Before(t) {
			return t.Format(time.RFC3339) + "  " + paint.Bad(left(t, now))
		}
		return t.Format(time.RFC3339) + "  " + left(t, now)
	case "iat", "nbf", "auth_time":
		if t, ok := moment(v); ok {
			return t.Format(time.RFC3339)
		}
	case "act":
		return "acting now: " + harmless(strings.Join(d.actors(), ", for whom acted "))
	case "cnf":
		if d.bound() != "" {
			return "good only on connections made with that certificate"
		}
	}
	return ""
}
