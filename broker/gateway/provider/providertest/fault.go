package providertest

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Fault stands between the listener and the provider.
type Fault func(next http.Handler) http.Handler

func answer(f http.HandlerFunc) Fault { return func(http.Handler) http.Handler { return f } }

// Status answers in the provider's place, and tells the client to wait when retryAfter is not zero.
func Status(status int, retryAfter time.Duration) Fault {
	return answer(func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		}
		http.Error(w, "<html>out of order</html>", status)
	})
}

// Refuse answers with an OAuth error in the provider's place.
func Refuse(status int, code, description string) Fault {
	return answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
	})
}

// Redirect sends the caller elsewhere.
func Redirect(target string) Fault {
	return answer(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target, http.StatusTemporaryRedirect)
	})
}

// Raw answers 200 with these bytes as JSON.
func Raw(body []byte) Fault {
	return answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
}

// Hang reads the request and never answers.
func Hang() Fault {
	return answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Slow lets the provider work after a while.
func Slow(d time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(d):
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	}
}

// Lost lets the provider do its work, and cuts the connection in place of the answer.
func Lost() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
	}
}

// Truncated lets the provider do its work, and cuts the connection in the middle of the answer.
func Truncated() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
			_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
	}
}

// Times limits a fault to the first n requests.
func Times(n int64, f Fault) Fault {
	var seen atomic.Int64
	return func(next http.Handler) http.Handler {
		broken := f(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) > n {
				next.ServeHTTP(w, r)
				return
			}
			broken.ServeHTTP(w, r)
		})
	}
}

// Answer changes what the provider says in JSON with status 200 or 201.
func Answer(change func(map[string]any)) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			var body map[string]any
			if rec.Code <= http.StatusCreated && json.Unmarshal(rec.Body.Bytes(), &body) == nil {
				change(body)
				rec.Body = &bytes.Buffer{}
				_ = json.NewEncoder(rec.Body).Encode(body)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		})
	}
}

// Callback changes the query with which a browser is sent back.
func Callback(change func(url.Values)) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			for name, values := range rec.Header() {
				w.Header()[name] = values
			}
			if target, err := url.Parse(rec.Header().Get("Location")); err == nil && target.Host != "" {
				query := target.Query()
				change(query)
				target.RawQuery = query.Encode()
				w.Header().Set("Location", target.String())
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		})
	}
}

// Hung returns the address of a listener that takes connections and never says a word on them.
func Hung(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		var held []net.Conn // else the collector would close them
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range held {
					_ = c.Close()
				}
				return
			}
			held = append(held, c)
		}
	}()
	return l.Addr().String()
}
