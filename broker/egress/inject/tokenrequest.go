package inject

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// The reasons for which there is no token. The first may pass by itself.
const (
	ReasonTokenEndpoint = "TOKEN_ENDPOINT_UNAVAILABLE"
	ReasonTokenRefused  = "UPSTREAM_TOKEN_REFUSED"
)

// maxToken is how long a token may be: it travels in a request head.
const maxToken = 16 << 10

// unstated is how long a token is used whose life the server does not say (RFC 6749, section 5.1).
const unstated = 5 * time.Minute

// request makes the request of RFC 6749, section 4.4.2. The library reads at most 1 MiB of the answer.
func (t *Tokens) request(ctx context.Context, fields credential.Fields) (token secret.Value, life time.Duration, err error) {
	id, err := pick(fields, fieldClientID)
	if err != nil {
		return token, 0, err
	}
	key, err := pick(fields, fieldClientSecret)
	if err != nil {
		return token, 0, err
	}
	style := oauth2.AuthStyleInHeader
	if t.how.Post {
		style = oauth2.AuthStyleInParams
	}
	cfg := clientcredentials.Config{
		ClientID: string(id.Reveal()), ClientSecret: string(key.Reveal()), TokenURL: t.how.TokenURL.String(),
		Scopes: t.how.Scope, EndpointParams: t.params(), AuthStyle: style,
	}
	got, err := cfg.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if err != nil {
		return token, 0, refused(err)
	}
	return read(got)
}

func (t *Tokens) params() url.Values {
	v := url.Values{}
	for name, value := range t.how.Params {
		v.Set(name, value)
	}
	if t.how.Audience != "" {
		v.Set("audience", t.how.Audience)
	}
	if len(t.how.Resource) > 0 {
		v["resource"] = t.how.Resource
	}
	return v
}

// read takes a bearer token and no other (RFC 6749, section 7.1): it is of no use without its proof.
func read(got *oauth2.Token) (token secret.Value, life time.Duration, err error) {
	life = unstated
	if !got.Expiry.IsZero() {
		life = time.Until(got.Expiry) // by the clock that the library read
	}
	switch token = secret.FromString(got.AccessToken); {
	case !strings.EqualFold(cmp.Or(got.TokenType, "Bearer"), "Bearer"):
		return token, 0, noToken("its type is not Bearer")
	case len(got.AccessToken) > maxToken || !all(token.Reveal(), isTokenByte):
		return token, 0, noToken("it is too long, or holds what must not stand in a header")
	case life <= 0:
		return token, 0, noToken("it has expired already")
	}
	return token, life, nil
}

func noToken(why string) error {
	return fault.New(fault.Unavailable, ReasonTokenRefused, "the service's authorization server gave no token that can be used").
		Because(errors.New(why))
}

// refused keeps the status and the error code of the answer and nothing else, not even for the log: a server
// may say back what it was sent.
func refused(err error) error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return unreachable(err)
	}
	status := answer.Response.StatusCode
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		return unreachable(fmt.Errorf("status %d", status))
	}
	code := "no error code"
	switch answer.ErrorCode { // RFC 6749, section 5.2, and RFC 8707, section 2
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target":
		code = answer.ErrorCode
	}
	return noToken(fmt.Sprintf("status %d, %s", status, code))
}

// unreachable drops what the library wraps around a failure to connect, which repeats the URL; its words for
// an answer that it cannot read may quote that answer.
func unreachable(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	} else if strings.HasPrefix(err.Error(), "oauth2: ") {
		err = errors.New("what it answered is no token response")
	}
	return fault.New(fault.Unavailable, ReasonTokenEndpoint, "the service's authorization server does not answer").Because(err)
}
