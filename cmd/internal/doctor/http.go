package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	// asked and came are when.
	asked, came time.Time
}

// maxAnswer is what is read of any answer.
const maxAnswer = 1 << 20

// web is a client without cookies that follows nothing: where a redirect leads is what is asked for.
func web(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends a request, with a form where there is one.
func ask(ctx context.Context, c *http.Client, method, address string, form url.Values) (a answer, err error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return a, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	a.asked = time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return a, bare(err)
	}
	defer resp.Body.Close()
	a.came, a.status, a.header = time.Now(), resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, err
}

// bare takes method and URL off an error of the HTTP client: the row says what was asked.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// untrusted reports whether err says that nobody whom we trust vouches for the peer.
func untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
