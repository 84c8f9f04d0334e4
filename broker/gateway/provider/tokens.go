package provider

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Tokens is what the provider gave for a code or a refresh token. None of it is for the browser.
type Tokens struct {
	// Access is the access token.
	Access secret.Value
	// Refresh is the refresh token; zero when there is none. Of a refresh that brought none it is the old one.
	Refresh secret.Value
	// ID is the ID token, verified; zero when a refresh brought none. It is kept for the hint at logout.
	ID secret.Value
	// Scope is what was granted, where the provider says so.
	Scope []string
	// Expiry is the end of the access token.
	Expiry time.Time
	// Key is what the tokens are bound to (RFC 9449), as [dpop.ParseKey] reads it; zero where they are not.
	Key secret.Value
	// RefreshExpiry is the end of the refresh token, and so of the session; zero when the provider does
	// not say, or says that there is none.
	RefreshExpiry time.Time
}

// tokenAnswer is an answer of the token endpoint (RFC 6749, section 5.1; RFC 8693, section 2.2.1).
type tokenAnswer struct {
	Access         string  `json:"access_token"`
	Type           string  `json:"token_type"`
	Issued         string  `json:"issued_token_type"`
	Refresh        string  `json:"refresh_token"`
	ID             string  `json:"id_token"`
	Scope          string  `json:"scope"`
	ExpiresIn      seconds `json:"expires_in"`
	RefreshExpires seconds `json:"refresh_expires_in"`
}

// seconds is a number of them. Some providers send it as a string, some with a fraction; what is no such number
// counts as not said.
type seconds int64

// UnmarshalJSON implements json.Unmarshaler.
func (s *seconds) UnmarshalJSON(data []byte) error {
	var n json.Number
	if json.Unmarshal(data, &n) != nil {
		return nil
	}
	if f, err := n.Float64(); err == nil && f > 0 {
		*s = seconds(min(f, math.MaxInt32))
	}
	return nil
}

// life is how long an access token lives whose end the provider does not say: not long.
const life = time.Minute

// tokens reads an answer that was asked for at the given time. A token of another type than was asked for would have
// to be used in a way that nobody here knows (RFC 6749, section 7.1), or is not bound to the key that it should be
// (RFC 9449, section 5).
func (a *tokenAnswer) tokens(asked time.Time, want string) (Tokens, error) {
	switch {
	case a.Access == "" || len(a.Access) > maxToken || len(a.Refresh) > maxToken:
		return Tokens{}, badAnswer(errors.New("no access token, or tokens of absurd size"))
	case !strings.EqualFold(a.Type, want) && want == typeDPoP:
		return Tokens{}, unbound(a.Type)
	case !strings.EqualFold(a.Type, want):
		return Tokens{}, badAnswer(errors.New("the token_type is not " + want))
	}
	t := Tokens{Access: secret.FromString(a.Access), Scope: strings.Fields(a.Scope), Expiry: asked.Add(a.life())}
	if a.Refresh != "" {
		t.Refresh = secret.FromString(a.Refresh)
		if a.RefreshExpires > 0 {
			t.RefreshExpiry = asked.Add(time.Duration(a.RefreshExpires) * time.Second)
		}
	}
	return t, nil
}

func (a *tokenAnswer) life() time.Duration {
	if a.ExpiresIn == 0 {
		return life
	}
	return time.Duration(a.ExpiresIn) * time.Second
}

// ReasonAnswer is that of an answer of the token endpoint that must not be used.
const ReasonAnswer = "PROVIDER_ANSWER"

func badAnswer(cause error) *fault.Error {
	return fault.New(fault.InvalidGrant, ReasonAnswer, "the login provider's answer cannot be used").Because(cause)
}
