package providertest

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
)

// Call is a request that arrived.
type Call struct {
	// Endpoint is the path below the issuer.
	Endpoint string
	// Auth is how the client proved itself, by the names of the metadata: "client_secret_basic",
	// "client_secret_post", "private_key_jwt", "spiffe_jwt"; empty means not at all.
	Auth string
	// Form is the query and the body.
	Form url.Values
}

// Calls returns the calls of an endpoint so far, the oldest first.
func (s *Server) Calls(endpoint string) (calls []Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.Endpoint == endpoint {
			calls = append(calls, c)
		}
	}
	return calls
}

// Grants returns how many token requests of a grant type arrived so far.
func (s *Server) Grants(grantType string) (n int) {
	for _, c := range s.Calls("/token") {
		if c.Form.Get("grant_type") == grantType {
			n++
		}
	}
	return n
}

// maxBody is more than the provider itself would read.
const maxBody = 1 << 20

func (s *Server) record(endpoint string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err != nil {
			return // who cut the connection gets no answer
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		form := r.URL.Query()
		if sent, err := url.ParseQuery(string(body)); err == nil {
			for name, values := range sent {
				form[name] = append(form[name], values...)
			}
		}
		s.mu.Lock()
		s.calls = append(s.calls, Call{Endpoint: endpoint, Auth: authOf(r, form), Form: form})
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func authOf(r *http.Request, form url.Values) string {
	_, _, basic := r.BasicAuth()
	switch kind := form.Get("client_assertion_type"); {
	case basic:
		return "client_secret_basic"
	case form.Has("client_secret"):
		return "client_secret_post"
	case strings.HasSuffix(kind, ":jwt-spiffe"):
		return "spiffe_jwt"
	case strings.HasSuffix(kind, ":jwt-bearer"):
		return "private_key_jwt"
	}
	return ""
}

// quiet is for net/http's own remarks: that a connection was cut is what was asked for.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func contextUntil(ctx context.Context, closed <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
