package inject

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// ReasonUnusable is the reason of a credential that cannot be put where the service file wants it.
const ReasonUnusable = "CREDENTIAL_UNUSABLE"

// The fields that are read.
const (
	fieldUsername     = "username"
	fieldPassword     = "password"
	fieldToken        = "token"
	fieldValue        = "value"
	fieldKey          = "key"
	fieldCertificate  = "certificate"
	fieldClientID     = "client_id"
	fieldClientSecret = "client_secret"
	fieldAccessKey    = "access_key_id"
	fieldSecretKey    = "secret_access_key"
	fieldSessionToken = "session_token"
)

const authorization = "Authorization"

// Fields returns the names of the header fields that in sets, in canonical form. What a caller sends under
// them, or under names that fold to them, must not travel.
func Fields(in *service.Inject) (names []string) {
	if in.Basic != nil || in.Bearer != nil || in.Mint != nil || in.OAuth2 != nil {
		names = append(names, authorization)
	}
	if in.Header != nil {
		names = append(names, http.CanonicalHeaderKey(in.Header.Name))
	}
	if in.SigV4 != nil {
		names = append(names, authorization, amzDate, amzToken, amzHash)
	}
	if in.HMAC != nil {
		names = append(names, in.HMAC.Header, in.HMAC.Timestamp)
	}
	return names
}

// Apply puts a stored credential into h as the one of Basic, Bearer and Header says that is set, in place of
// whatever stood under that name or under one that folds to it. A token that was minted or asked for is for
// [Bearer].
func Apply(h http.Header, in *service.Inject, fields credential.Fields) error {
	switch {
	case in.Basic != nil:
		return basic(h, fields)
	case in.Bearer != nil:
		token, err := pick(fields, fieldToken, fieldValue)
		if err != nil {
			return err
		}
		return Bearer(h, token)
	case in.Header != nil:
		value, err := pick(fields, fieldValue, fieldToken)
		if err != nil {
			return err
		}
		return set(h, in.Header.Name, in.Header.Prefix, value.Reveal(), isFieldByte)
	default:
		return unusable("the service file names no way to inject it")
	}
}

// Bearer puts token into h as a bearer token.
func Bearer(h http.Header, token secret.Value) error {
	return set(h, authorization, "Bearer ", token.Reveal(), isTokenByte)
}

// basic follows RFC 7617, section 2: no colon in the user's name, no control character anywhere. The
// password may be empty, but must be there: a misspelt field is not an empty password.
func basic(h http.Header, fields credential.Fields) error {
	user, err := pick(fields, fieldUsername)
	if err != nil {
		return err
	}
	password, ok := fields[fieldPassword]
	if !ok {
		return missing(fields, fieldPassword)
	}
	u, p := user.Reveal(), password.Reveal()
	if !all(u, func(c byte) bool { return isText(c) && c != ':' }) {
		return unusable("the username holds a colon or a control character (RFC 7617, section 2)")
	}
	if !all(p, isText) {
		return unusable("the password holds a control character (RFC 7617, section 2)")
	}
	var pairs, encoding [128]byte // mostly enough, and then not on the heap
	pair := append(append(append(pairs[:0], u...), ':'), p...)
	return set(h, authorization, "Basic ", base64.StdEncoding.AppendEncode(encoding[:0], pair), isTokenByte)
}

// pick returns the first of the named fields that is there and holds something.
func pick(fields credential.Fields, names ...string) (secret.Value, error) {
	for _, name := range names {
		if v, ok := fields[name]; ok && !v.IsZero() {
			return v, nil
		}
	}
	return secret.Value{}, missing(fields, strings.Join(names, " or "))
}

func set(h http.Header, name, prefix string, value []byte, allowed func(byte) bool) error {
	switch {
	case len(value) == 0:
		return unusable("it is empty")
	case !all(value, allowed):
		return unusable("it holds a character that must not stand in %s: a newline at its end, perhaps", name)
	case value[0] == ' ' || value[len(value)-1] == ' ':
		return unusable("it begins or ends with a space, which would be lost in %s", name)
	}
	for other := range h {
		if hygiene.SameField(other, name) {
			delete(h, other)
		}
	}
	var room [256]byte // mostly enough, and then there is one copy
	h[http.CanonicalHeaderKey(name)] = []string{string(append(append(room[:0], prefix...), value...))}
	return nil
}

func missing(fields credential.Fields, name string) error {
	return unusable("it has no field %s, only %q", name, fields.Names())
}

// unusable tells the caller that, and the log why: fields' names are no secret, but they are not the
// caller's business either.
func unusable(format string, args ...any) error {
	return fault.New(fault.Internal, ReasonUnusable, "the stored credential cannot be put into a request").
		Because(fmt.Errorf(format, args...))
}

func all(b []byte, ok func(byte) bool) bool {
	for _, c := range b {
		if !ok(c) {
			return false
		}
	}
	return true
}

// isText is what RFC 7617 allows before it is encoded: everything but control characters.
func isText(c byte) bool { return c >= ' ' && c != 0x7f }

// isFieldByte is a field's visible characters, spaces and obs-text (RFC 9110, section 5.5), without tabs:
// a credential with a tab was pasted wrongly.
func isFieldByte(c byte) bool { return isText(c) }

// isTokenByte is token68 (RFC 9110, section 11.2) with the few more that tokens of the field hold.
func isTokenByte(c byte) bool { return c > ' ' && c < 0x7f && c != ',' && c != '"' }
