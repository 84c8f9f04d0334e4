package authn

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	groups, err := i.groups(claims)
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
	return identity.User{
		Issuer: i.URL, Subject: sub, Groups: groups, Scopes: scopes(claims), Claims: claims,
		Proof: identity.ByOIDC, NotAfter: end,
	}, nil
}

// checkAccessToken refuses the other tokens that the same issuer signs with the same keys. What RFC 9068
// types is told by its header. Others have the header of any JWT: what is proper to ID tokens (OpenID
// Connect Core 1.0, sections 2 and 3.3.2.11) and logout tokens (Back-Channel Logout 1.0, section 2.4) is looked
// for. An ID token may have nothing that is proper to it, so an access token must say that it is one: in the
// claim in which Keycloak says what a token is, or by its scope.
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
	is, there := claims["typ"]
	switch {
	case is == "Bearer" || is == "DPoP":
		return nil
	case there:
		return fmt.Errorf("its typ claim is %v", is)
	case len(scopes(claims)) == 0:
		return errors.New("nothing in it says that it is an access token")
	}
	return nil
}

func (i *userIssuer) checkTimes(claims map[string]any) (end time.Time, err error) {
	var at [3]time.Time
	for n, name := range []string{"exp", "iat", "nbf"} {
		claim, there := claims[name]
		seconds, ok := claim.(float64)
		if there && (!ok || seconds < 0 || seconds > maxMoment) {
			return end, fmt.Errorf("its %s is no moment", name)
		}
		at[n] = time.Unix(int64(seconds), 0)
	}
	now, end := i.Now(), at[0]
	switch {
	case claims["exp"] == nil:
		return end, errors.New("it never ends")
	case now.After(end.Add(skew)):
		return end, fmt.Errorf("ended at %s", end.Format(time.RFC3339))
	case at[1].After(now.Add(skew)) || at[2].After(now.Add(skew)):
		return end, errors.New("made in the future")
	}
	return end, nil
}

const maxMoment = 1 << 40 // seconds since 1970; what is far above has no place in Go's clock

// groups returns all the groups that the token names, or an error where some cannot be read: a rule may
// deny one of them.
func (i *userIssuer) groups(claims map[string]any) ([]string, error) {
	if elsewhere, there := claims["_claim_names"]; there { // OpenID Connect Core 1.0, section 5.6.2
		names, ok := elsewhere.(map[string]any)
		if _, those := names[i.Groups]; those || !ok {
			return nil, errors.New("its groups are not in it but elsewhere")
		}
	}
	claim := claims[i.Groups]
	groups := list(claim)
	listed, isList := claim.([]any)
	_, isText := claim.(string)
	if claim != nil && !isList && !isText || isList && len(groups) != len(listed) || slices.Contains(groups, "") {
		return nil, errors.New("its groups cannot be read")
	}
	return groups, nil
}

// scopes returns what the token's bearer may: scope (RFC 9068, section 2.2.3), or scp where an issuer writes
// that instead, as one text or as a list.
func scopes(claims map[string]any) (all []string) {
	if scope, ok := claims["scope"].(string); ok {
		return strings.Fields(scope)
	}
	for _, s := range list(claims["scp"]) {
		all = append(all, strings.Fields(s)...)
	}
	return all
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
