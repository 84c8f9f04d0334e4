package provider

import (
	"crypto/subtle"
	"net/url"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
)

// The reasons for which an answer to the browser is refused, or is a no.
const (
	ReasonState    = "LOGIN_STATE"    // not the transaction's
	ReasonIssuer   = "LOGIN_ISSUER"   // from another provider (mix-up)
	ReasonCallback = "LOGIN_CALLBACK" // malformed
	ReasonOutdated = "LOGIN_OUTDATED" // too late, or of a session that has just ended
	ReasonDenied   = "LOGIN_DENIED"   // the user or the provider said no
)

func badCallback(reason, message string) *fault.Error {
	return fault.New(fault.InvalidRequest, reason, message)
}

// Silent reports whether err is the clean no of a login without a page (prompt=none): nobody is logged in, or
// the provider would have to ask something (OpenID Connect Core 1.0, section 3.1.2.6). The reason is the
// provider's code in capitals, such as LOGIN_REQUIRED. It is no reason to try again.
func Silent(err error) bool {
	switch fault.From(err).Reason {
	case "LOGIN_REQUIRED", "INTERACTION_REQUIRED", "CONSENT_REQUIRED", "ACCOUNT_SELECTION_REQUIRED":
		return true
	}
	return false
}

// Outdated reports whether err says that the answer came too late, or out of a session of the provider's that has just ended.
// The same login, begun once more, may end well.
func Outdated(err error) bool { return fault.From(err).Reason == ReasonOutdated }

// code returns the code of an answer that is the transaction's and the provider's.
func (r *ready) code(tx Transaction, callback url.Values) (string, error) {
	for _, name := range []string{"state", "iss", "code", "error"} {
		if len(callback[name]) > 1 { // RFC 6749, section 3.1
			return "", badCallback(ReasonCallback, "the login provider's answer is ambiguous")
		}
	}
	state := tx.State.Reveal()
	if len(state) == 0 || subtle.ConstantTimeCompare([]byte(callback.Get("state")), state) != 1 {
		return "", badCallback(ReasonState, "this answer belongs to no login that was started here")
	}
	// RFC 9207, section 2.4, also of errors: a provider that says that it sends its name must have sent it,
	// and a name that came must be the right one.
	if iss := callback.Get("iss"); iss != r.Issuer && (r.IssInAnswer || callback.Has("iss")) {
		return "", badCallback(ReasonIssuer, "this answer comes from another login provider")
	}
	if code := callback.Get("error"); code != "" {
		return "", refusedLogin(code, callback.Get("error_description"))
	}
	if callback.Get("code") == "" {
		return "", badCallback(ReasonCallback, "the login provider's answer has no code")
	}
	return callback.Get("code"), nil
}

// refusedLogin translates an error of the authorization endpoint. What the address says anybody can have
// written, so none of it is shown.
func refusedLogin(code, description string) error {
	cause := &RefusedError{Code: short(code), Description: short(description)}
	switch code {
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return fault.New(fault.Unauthenticated, strings.ToUpper(code), "nobody is logged in at the login provider").Because(cause)
	case "access_denied":
		return fault.New(fault.Denied, ReasonDenied, "the login was refused").Because(cause)
	case "unmet_authentication_requirements": // OpenID Connect Core Error Code unmet_authentication_requirements 1.0
		return fault.New(fault.Denied, ReasonLevel, "the login does not reach the level that is needed").Because(cause)
	case "temporarily_unavailable", "server_error":
		// Keycloak's words for a login page that was open for too long, by a user who is logged in; "it is ideal to retry
		// authentication immediately" (Securing applications, OpenID Connect layers).
		if description == "authentication_expired" {
			return badCallback(ReasonOutdated, "the login took too long").Because(cause)
		}
		return unavailable(cause)
	}
	return badCallback(ReasonCallback, "the login provider refused the login").Because(cause)
}
