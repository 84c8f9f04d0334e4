package vault

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

// late answers when its caller has left.
type late struct{ leave context.CancelFunc }

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	l.leave()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// TestAnswerAfterTheDeadline: it is none. A write would seem to be done.
func TestAnswerAfterTheDeadline(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodDelete, "https://vault.test/v1/kv/data/x", nil)
	res, err := (&guard{next: late{leave}}).RoundTrip(req)
	if err == nil {
		_ = res.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", res, err)
	}
}
