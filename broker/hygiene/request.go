package hygiene

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// The refusals of [CheckMethod], [CheckUpgrade] and [CheckRequest].
const (
	ErrMethod     Error = "the method is not served here: it is a token of capital letters, and not TRACE, TRACK, CONNECT, DEBUG or PRI"
	ErrUpgrade    Error = "the only protocol to upgrade to is websocket"
	ErrWebSocket  Error = "the WebSocket handshake is not a valid one (RFC 6455, section 4.1)"
	ErrDuplicate  Error = "a field that must stand alone is given twice"
	ErrFormTarget Error = "the request names no path"
	ErrQuery      Error = "the query holds a space, a `#`, a control character or a byte beyond ASCII: write it as %XX"
)

// CheckMethod refuses methods that answer with what they were sent (TRACE, TRACK), that open tunnels
// (CONNECT, PRI) or debuggers (DEBUG), and all that are not capital letters and dashes. Methods are
// case-sensitive (RFC 9110, section 9.1). Which of the others are allowed is for the policy to say.
func CheckMethod(method string) error {
	switch method {
	case "", "TRACE", "TRACK", "CONNECT", "DEBUG", "PRI":
		return ErrMethod
	}
	for i := range len(method) {
		if c := method[i]; i > 31 || (c < 'A' || c > 'Z') && c != '-' {
			return ErrMethod
		}
	}
	return nil
}

// IsUpgrade reports whether r asks for another protocol on its connection.
func IsUpgrade(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 && hasToken(r.Header["Connection"], "upgrade")
}

// CheckUpgrade refuses every upgrade but a well-formed WebSocket handshake. An upgrade to anything else,
// h2c above all, would open a tunnel in which nobody looks at requests any more.
func CheckUpgrade(r *http.Request) error {
	if !IsUpgrade(r) {
		return nil
	}
	if up := r.Header["Upgrade"]; len(up) != 1 || !strings.EqualFold(up[0], "websocket") {
		return ErrUpgrade
	}
	key, version := r.Header["Sec-Websocket-Key"], r.Header["Sec-Websocket-Version"]
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.ContentLength != 0 ||
		len(version) != 1 || version[0] != "13" || len(key) != 1 || !isNonce(key[0]) {
		return ErrWebSocket
	}
	return nil
}

// isNonce reports whether key is 16 bytes in base64 (RFC 6455, section 4.1).
func isNonce(key string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && len(b) == 16
}

// CheckRequest makes all checks that a request can be put to without knowing where it goes, and returns
// its canonical path.
func CheckRequest(r *http.Request) (path string, err error) {
	if err := CheckMethod(r.Method); err != nil {
		return "", err
	}
	if r.URL.Opaque != "" || r.URL.Path == "*" {
		return "", ErrFormTarget
	}
	for _, name := range [...]string{"Authorization", "Cookie", "Content-Type", "Origin"} {
		if len(r.Header[name]) > 1 {
			return "", ErrDuplicate
		}
	}
	if err := CheckUpgrade(r); err != nil {
		return "", err
	}
	if err := checkQuery(r.URL.RawQuery); err != nil {
		return "", err
	}
	return CleanPath(r.URL.EscapedPath())
}

// checkQuery refuses what cannot stand in a request line as it is. net/http lets it through, from :path above
// all (RFC 9113, section 8.3.1), and writes it into the line unchanged: a space would end the target there. A
// `#` ends the query for those who take the target for a reference (RFC 3986, section 3.5).
func checkQuery(query string) error {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return ErrQuery
		}
	}
	return nil
}

// hasToken reports whether one of the comma-separated values is token, whatever its case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}
