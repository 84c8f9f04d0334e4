package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// pingAfter is how long a connection may be silent before it is asked whether it lives, and pingTimeout how long it
	// may think about that.
	pingAfter, pingTimeout = 5 * time.Second, 5 * time.Second
)

// newClient verifies TLS (RFC 9325, section 3.1.1), and follows no redirect: where it led would get our
// proof of who we are.
func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
			// Else one connection to a node that is gone would be used for all calls until TCP gives up, in a quarter of an hour.
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        30 * time.Second,
			ResponseHeaderTimeout:  time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came back, whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// lostError is a request that was sent and whose answer did not come, or not whole: whether the provider acted
// on it nobody knows.
type lostError struct{ cause error }

// Error implements error.
func (e *lostError) Error() string { return "sent, and no answer came: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *lostError) Unwrap() error { return e.cause }

func (p *Provider) get(ctx context.Context, address string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, unavailable(err)
	}
	got, err := p.do(req)
	if err != nil {
		return got, unavailable(err)
	}
	return got, nil
}

// post sends a form as the client that we are.
func (p *Provider) post(ctx context.Context, r *ready, endpoint string, form url.Values) (answer, error) {
	return p.postHeaded(ctx, r, endpoint, form, http.Header{})
}

func (p *Provider) postHeaded(ctx context.Context, r *ready, endpoint string, form url.Values, header http.Header) (answer, error) {
	if err := p.beforeCall(ctx); err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, nil)
	if err != nil {
		return answer{}, unavailable(err)
	}
	req.Header = header
	if err := p.authenticate(req, r, form); err != nil {
		return answer{}, err
	}
	// With GetBody net/http sends a POST anew only when nothing of it was written, to a connection that had
	// died idle.
	body := form.Encode()
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(req)
}

func (p *Provider) do(req *http.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(req.Context(), p.cfg.Timeout)
	defer cancel()
	// Headers are written to a buffer first: this may say sent of what never left, and never the reverse.
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	req.Header.Set("Accept", "application/json")
	resp, err := p.http.Do(req.WithContext(ctx))
	if err == nil && ctx.Err() != nil {
		// A server whose caller left may end with an empty 200, which net/http takes in while it closes the connection.
		_ = resp.Body.Close()
		err = ctx.Err()
	}
	if err != nil {
		if !errors.Is(req.Context().Err(), context.Canceled) { // who asked has left, which says nothing of the provider
			p.listen(req.URL, 0)
		}
		return answer{}, lost(sent.Load(), err)
	}
	defer resp.Body.Close()
	p.listen(req.URL, resp.StatusCode)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is larger than 1 MiB")
	}
	if err != nil {
		return answer{}, lost(true, err)
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

func lost(sent bool, err error) error {
	if sent {
		return &lostError{err}
	}
	return err
}

// decode reads an answer of success.
func (a answer) decode(into any) error {
	if err := json.Unmarshal(a.body, into); err != nil {
		return &lostError{fmt.Errorf("status %d, and what is no JSON: %w", a.status, err)}
	}
	return nil
}
