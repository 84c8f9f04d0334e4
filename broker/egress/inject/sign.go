package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Request is a request as it will be sent, but for its signature.
type Request struct {
	Method string
	// URL is what the request line is made of; SigV4 writes its path and query anew.
	URL *url.URL
	// Header is what is sent, without what net/http makes itself.
	Header http.Header
	// Body is the whole body, where the signature covers it.
	Body []byte
	// Length is the body's length, -1 where it is not known.
	Length int64
	// Now is the time of the signature.
	Now time.Time
}

// Host returns the Host field that is sent with u: its host without the port that the scheme implies, which
// some servers cut off before they compare and some do not.
func Host(u *url.URL) string {
	host := u.Host
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	if ascii, err := httpguts.PunycodeHostPort(host); err == nil { // as net/http does
		return ascii
	}
	return host
}

func (r *Request) hash() string {
	sum := sha256.Sum256(r.Body)
	return hex.EncodeToString(sum[:])
}
