package token

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Handler lets requests with a good token through to next, with its Claims in the context. Others are
// refused as RFC 6750, section 3, asks for. The token is read from the Authorization header alone:
// queries and bodies end up in logs.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := bearer(r.Header.Values("Authorization"))
		var c Claims
		if err == nil {
			c, err = v.Verify(r.Context(), raw, peerOf(r.TLS))
		}
		if err != nil {
			refuse(w, v.Audience, "", err)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), c)))
	})
}

// RequireScope lets requests through whose token has scope. It stands behind [Verifier.Handler].
func RequireScope(scope string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := FromContext(r.Context())
		switch {
		case !ok:
			refuse(w, "", "", missing())
		case !c.HasScope(scope):
			refuse(w, "", scope, fault.New(fault.Denied, ReasonScope, "the token lacks the scope "+scope))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// peerOf returns the certificate whose key the client proved to have in the handshake. That, and not a
// chain to some authority, is what the binding of RFC 8705 needs.
func peerOf(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// bearer returns the token of the one Authorization value.
func bearer(values []string) (string, error) {
	if len(values) > 1 {
		return "", fault.New(fault.InvalidRequest, "", "more than one Authorization header")
	}
	if len(values) == 0 {
		return "", missing()
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", missing()
	}
	return strings.TrimLeft(raw, " "), nil
}

func missing() *fault.Error {
	return fault.New(fault.Unauthenticated, ReasonMissing, "a bearer token is required")
}

// refuse answers with err and, where a token could change the answer, with a challenge. One that came
// without a token learns no error code (RFC 6750, section 3.1).
func refuse(w http.ResponseWriter, realm, scope string, err error) {
	e := fault.From(err)
	code := map[fault.Kind]string{
		fault.Unauthenticated: "invalid_token", fault.InvalidRequest: "invalid_request", fault.Denied: "insufficient_scope",
	}[e.Kind]
	var challenge []string
	if realm != "" || e.Reason == ReasonMissing { // there must be one parameter at least
		challenge = append(challenge, `realm="`+quotable(realm)+`"`)
	}
	if e.Reason != ReasonMissing {
		challenge = append(challenge, `error="`+code+`"`, `error_description="`+quotable(e.Message)+`"`)
	}
	if scope != "" {
		challenge = append(challenge, `scope="`+quotable(scope)+`"`)
	}
	if code != "" {
		w.Header().Set("WWW-Authenticate", "Bearer "+strings.Join(challenge, ", "))
	}
	fault.WriteProblem(w, e)
}

// quotable drops what does not belong into a quoted value (RFC 6750, section 3).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
