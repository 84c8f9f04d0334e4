package provider

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// late answers as net/http may at the deadline: a server whose caller has left ends its work, and what it then writes, an
// empty 200, comes in while the connection is being closed.
type late struct{}

func (late) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// TestAnswerAfterTheDeadline: it is none. Read as one it would say that the provider is another, which ends the start.
func TestAnswerAfterTheDeadline(t *testing.T) {
	nothing := func(context.Context) (secret.Value, error) { return secret.Value{}, nil }
	p, err := Examine(t.Context(), Config{Issuer: "https://127.0.0.1:1", ClientID: "c", Auth: Auth{Secret: nothing}, Timeout: time.Millisecond})
	if p == nil {
		t.Fatal(err)
	}
	p.pulse.note(true)
	p.http.Transport = late{}
	if err := p.load(t.Context()); final(err) || !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("metadata that never came: %v", err)
	}
	if !p.pulse.doubted() {
		t.Error("a provider that is silent is said to answer")
	}
}
