package vault

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxAnswer bounds what is read of an answer. The longest is a list of names.
const maxAnswer = 8 << 20

// guard is what every request passes, those that a redirect leads elsewhere too.
type guard struct {
	next      http.RoundTripper
	plaintext bool
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.plaintext && !loopback(req.URL.Hostname()) {
		return nil, errors.New("refusing to send a token over plain http to " + req.URL.Host)
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := req.Context().Err(); err != nil {
		// What stands in front of Vault may end a request whose caller left with an empty 200, which net/http takes in
		// while it closes the connection.
		_ = resp.Body.Close()
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests { // the api's own error for it forgets the header
		_ = resp.Body.Close()
		return nil, &limited{after: retryAfter(resp.Header)}
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// limited is a 429.
type limited struct{ after time.Duration }

func (l *limited) Error() string { return "429: a rate limit quota is exceeded" }

// retryAfter reads the header's form in seconds (RFC 9110, section 10.2.3), the one that Vault uses.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 3600 {
		return time.Second
	}
	return time.Duration(seconds) * time.Second
}

// bounded is a body that ends in an error when it is longer than it may be.
type bounded struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", errForeign, maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	return n, err
}
