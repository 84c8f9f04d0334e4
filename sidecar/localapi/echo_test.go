package localapi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/client"
)

// saysBack tells the token in every place of an answer that is not its body.
func saysBack(rw http.ResponseWriter, r *http.Request) {
	said := r.Header["Authorization"]
	h := rw.Header()
	h["X-Echo"], h["Authorization"], h["X-Early"] = []string{"first", said[0]}, said, []string{"kept"}
	rw.WriteHeader(http.StatusEarlyHints)
	h["X-Bare"], h["X-Kept"] = []string{strings.TrimPrefix(said[0], "Bearer ")}, []string{"kept"}
	h["Trailer"] = []string{"X-End, X-End-Kept"}
	_, _ = rw.Write([]byte("body"))
	_ = http.NewResponseController(rw).Flush() // or the length is told, with which HTTP/1.1 has no trailer
	h["X-End"], h["X-End-Kept"] = said, []string{"kept"}
	h[http.TrailerPrefix+"X-Late"], h[http.TrailerPrefix+"X-Late-Kept"] = said, []string{"kept"}
}

func TestTokenIsNotSaidBack(t *testing.T) {
	w, services := ways(t, http.HandlerFunc(saysBack))
	for _, service := range services[:2] { // what is injected, the broker looks for
		t.Run(service, func(t *testing.T) {
			var early http.Header
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
				early = http.Header(h).Clone()
				return nil
			}})
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.door+"/"+service+"/", nil)
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			must(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			all := fmt.Sprint(early, resp.Header, resp.Trailer)
			if strings.Contains(all, "eyJ") {
				t.Errorf("the application is handed the token: %s", all)
			}
			if string(body) != "body" || early.Get("X-Early") != "kept" || resp.Header.Get("X-Kept") != "kept" ||
				resp.Trailer.Get("X-End-Kept") != "kept" || resp.Trailer.Get("X-Late-Kept") != "kept" {
				t.Errorf("what is the application's is lost: %q %s", body, all)
			}
		})
	}
}

// TestBrokenAfterItWasSent: it may have been carried out, so nobody is asked to come again.
func TestBrokenAfterItWasSent(t *testing.T) {
	w, services := ways(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			resp, body := w.do(http.MethodPost, "/"+service+"/", strings.NewReader("body"), nil)
			problem(t, resp, body, http.StatusBadGateway, client.ReasonBroken)
			if again := resp.Header.Get("Retry-After"); again != "" {
				t.Errorf("asks to come again after %s", again)
			}
		})
	}
}

// TestCutShort: of an answer whose body breaks, the application sees what there was.
func TestCutShort(t *testing.T) {
	w, services := ways(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if rw.Header().Set("X-Kept", "kept"); r.URL.Query().Has("length") {
			rw.Header().Set("Content-Length", "100")
		}
		rw.WriteHeader(http.StatusCreated)
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}))
	for _, service := range services {
		for _, query := range []string{"", "length"} {
			t.Run(service+" "+query, func(t *testing.T) {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.door+"/"+service+"/?"+query, nil)
				resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
				must(t, err)
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusCreated || resp.Header.Get("X-Kept") != "kept" {
					t.Errorf("%s %v", resp.Status, resp.Header)
				}
				if body, err := io.ReadAll(resp.Body); err == nil {
					t.Errorf("a whole answer of %q", body)
				}
			})
		}
	}
}
