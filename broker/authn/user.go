package authn

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/intercom-broker/intercom/broker/identity"
)

// headerType returns the JOSE header's typ, which nobody has vouched for yet, of what has the form of a
// token.
func headerType(raw string) (string, error) {
	if err := checkForm(raw); err != nil {
		return "", err
	}
	head, _, _ := strings.Cut(raw, ".")
	data, err := base64.RawURLEncoding.Strict().DecodeString(head)
	if err != nil {
		return "", err
	}
	var header struct {
		Typ string `json:"typ"`
	}
	err = json.Unmarshal(data, &header)
	return strings.TrimPrefix(strings.ToLower(header.Typ), "application/"), err
}

// user reads the claims of a verified token.
func (i *userIssuer) user(typ string, claims map[string]any) (identity.User, error) {
	if err := checkAccessToken(typ, claims); err != nil {
		return identity.User{}, err
	}
	end, err := i.checkTimes(claims)
	if err != nil {
		return identity.User{}, err
	}
	if aud := list(claims["aud"]); !slices.ContainsFunc(i.Audience, func(a string) bool { return slices.Contains(aud, a) }) {
		return identity.User{}, fmt.Errorf("its audience is %q, want one of %q", aud, i.Audience)
	}
	sub, _ := claims["sub"].(string)
	if sub == "" || len(sub) > 255 { // OpenID Connect Core 1.0, section 2
		return identity.User{}, errors.New("it names no user")
	}
	scope, _ := claims["scope"].(string)
	return identity.User{
		Issuer: i.URL, Subject: sub, Groups: list(claims[i.Groups]), Scopes: strings.Fields(scope), Claims: claims,
		Proof: identity.ByOIDC, NotAfter: end,
	}, nil
}

// checkAccessToken refuses the other tokens that the same issuer signs with the same keys. What RFC 9068
// types is told by its header. Others have the header of any JWT: what is proper to ID tokens (OpenID
// Connect Core 1.0, sections 2 and 3.3.2.11) and logout tokens (Back-Channel Logout 1.0, section 2.4) is looked
// for, and the claim in which Keycloak says what a token is.
func checkAccessToken(typ string, claims map[string]any) error {
	if typ == "at+jwt" {
		return nil
	}
	if typ != "" && typ != "jwt" {
		return fmt.Errorf("a token of type %q", typ)
	}
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if _, there := claims[name]; there {
			return fmt.Errorf("it has %s: not an access token", name)
		}
	}
	if is, there := claims["typ"]; there && is != "Bearer" && is != "DPoP" {
		return fmt.Errorf("its typ claim is %v", is)
	}
	return nil
}

func (i *userIssuer) checkTimes(claims map[string]any) (end time.Time, err error) {
	now := i.Now()
	end, told := moment(claims["exp"])
	made, _ := moment(claims["iat"])
	from, _ := moment(claims["nbf"])
	switch {
	case !told:
		return end, errors.New("it never ends")
	case now.After(end.Add(skew)):
		return end, fmt.Errorf("ended at %s", end.Format(time.RFC3339))
	case made.After(now.Add(skew)) || from.After(now.Add(skew)):
		return end, errors.New("made in the future")
	}
	return end, nil
}

// list reads a claim that is a string or a list of strings, as `aud` is (RFC 7519, section 4.1.3).
func list(claim any) (out []string) {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

const maxAnswer = 1 << 20 // of an issuer: some thousand keys

// bounded returns a client that reads a bounded answer, follows no redirect, and asks at most once in two
// seconds in the long run: go-oidc fetches keys for every token that it cannot verify, also a made-up one.
func bounded(c *http.Client) *http.Client {
	out := &http.Client{Timeout: discoveryTimeout}
	if c != nil {
		*out = *c
	}
	next := out.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	out.Transport = &paced{next, rate.NewLimiter(rate.Every(2*time.Second), 5)}
	out.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return out
}

type paced struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// RoundTrip implements [http.RoundTripper].
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.limit.Allow() {
		return nil, errors.New("the issuer was asked a moment ago")
	}
	res, err := p.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}
