package fault

import (
	"encoding/json"
	"net/http"
	"strings"
)

// oauthErrors has, for each kind, the status and the code of RFC 6749, section 5.2 and RFC 8693,
// section 2.2.2. Denied and InvalidTarget share one answer: whoever may not use a target does not learn
// whether it exists.
var oauthErrors = [kinds]struct {
	status int
	code   string
}{
	Internal:           {http.StatusInternalServerError, "server_error"},
	InvalidRequest:     {http.StatusBadRequest, "invalid_request"},
	InvalidScope:       {http.StatusBadRequest, "invalid_scope"},
	InvalidTarget:      {http.StatusBadRequest, "invalid_target"},
	InvalidGrant:       {http.StatusBadRequest, "invalid_grant"},
	Unauthenticated:    {http.StatusUnauthorized, "invalid_client"},
	UnauthorizedClient: {http.StatusBadRequest, "unauthorized_client"},
	Unsupported:        {http.StatusBadRequest, "unsupported_grant_type"},
	Denied:             {http.StatusBadRequest, "invalid_target"},
	NotFound:           {http.StatusBadRequest, "invalid_target"},
	TooLarge:           {http.StatusRequestEntityTooLarge, "invalid_request"},
	Overloaded:         {http.StatusTooManyRequests, "temporarily_unavailable"},
	Unavailable:        {http.StatusServiceUnavailable, "temporarily_unavailable"},
	Timeout:            {http.StatusServiceUnavailable, "temporarily_unavailable"},
}

// OAuth returns the HTTP status and the OAuth error code for e.
func (e *Error) OAuth() (status int, code string) {
	o := oauthErrors[e.Kind]
	return o.status, o.code
}

// WriteOAuth answers with err as an OAuth error response.
func WriteOAuth(w http.ResponseWriter, err error) {
	e := From(err)
	status, code := e.OAuth()
	e.WriteHeaders(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": describable(e.Message)})
}

// describable keeps to the characters of an error_description (RFC 6749, section 5.2).
func describable(message string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, message)
}
