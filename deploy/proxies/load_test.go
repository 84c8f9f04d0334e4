package proxies_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// load is clients that call without a pause, each over a connection of its own which it keeps.
type load struct {
	t    *testing.T
	stop context.CancelFunc
	over sync.WaitGroup

	mu      sync.Mutex
	answers map[string]int
}

// begin lets n clients call as alice, every second one over HTTP/1.1, and some listen to event streams.
func begin(t *testing.T, alice *person, n int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{t: t, stop: stop, answers: map[string]int{}}
	headers := map[string]string{"Cookie": alice.cookies(), "X-Csrf-Token": alice.State().CSRF, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
	for i := range n {
		transport := alice.w.through(t, alice.at)
		if i%2 == 1 {
			transport = alice.Plainly()
		}
		l.over.Go(func() { l.call(ctx, transport, alice.w.Origin()+"/orders/1", headers) })
	}
	for range listeners {
		transport := alice.w.through(t, alice.at)
		l.over.Go(func() { l.listen(ctx, transport, alice.w.Origin()+"/orders/stream", headers) })
	}
	t.Cleanup(func() { l.stop(); l.over.Wait() })
	return l
}

// call sends GET and POST in turn, until ctx ends.
func (l *load) call(ctx context.Context, transport http.RoundTripper, url string, headers map[string]string) {
	for i := 0; ctx.Err() == nil; i++ {
		method, body := http.MethodGet, io.Reader(nil)
		if i%2 == 1 {
			method, body = http.MethodPost, strings.NewReader("a body")
		}
		res, err := send(context.WithoutCancel(ctx), transport, method, url, body, headers)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		l.count(method, res, err)
	}
}

// listen opens an event stream, again and again.
func (l *load) listen(ctx context.Context, transport http.RoundTripper, url string, headers map[string]string) {
	for ctx.Err() == nil {
		res, err := send(ctx, transport, http.MethodGet, url, nil, headers)
		if ctx.Err() != nil {
			return
		}
		l.count("stream", res, err)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body) // however it ends
			_ = res.Body.Close()
		}
	}
}

func send(ctx context.Context, transport http.RoundTripper, method, url string, body io.Reader, headers map[string]string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	return transport.RoundTrip(r)
}

func (l *load) count(what string, res *http.Response, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		what += " " + err.Error()
	default:
		what += fmt.Sprintf(" %d", res.StatusCode)
	}
	l.answers[what]++
}

func (l *load) counted() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.answers)
}

// more waits for n more calls of each method.
func (l *load) more(n int) {
	l.t.Helper()
	before := l.counted()
	gatewaytest.Eventually(l.t, fmt.Sprintf("%d more calls", n), func() bool {
		now := l.counted()
		return now["GET 200"]-before["GET 200"] >= n && now["POST 200"]-before["POST 200"] >= n
	})
}

// end stops the clients, and fails the test if one of their requests has.
func (l *load) end() map[string]int {
	l.t.Helper()
	l.stop()
	l.over.Wait()
	for what, n := range l.answers {
		if !strings.HasSuffix(what, " 200") {
			l.t.Errorf("%d times: %s", n, what)
		}
	}
	return l.answers
}
