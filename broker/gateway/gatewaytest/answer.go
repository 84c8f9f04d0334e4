package gatewaytest

import (
	"encoding/json"
	"net/http"
	"testing"
)

// Answer is what came back, whole.
type Answer struct {
	*http.Response
	// Text is its body.
	Text string
}

// Code is that of a problem (RFC 9457); empty means that the answer is none.
func (a Answer) Code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal([]byte(a.Text), &problem)
	return problem.Code
}

// Said is what a service answered in JSON, which must have been asked with success.
func Said[T any](t testing.TB, a Answer) (said T) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %.300s", a.Request.URL, a.Status, a.Text)
	}
	must(t, json.Unmarshal([]byte(a.Text), &said))
	return said
}

// Claims are what a service says of the token that it got, where services say that ([ServeClaims]).
func (a Answer) Claims(t testing.TB) map[string]any {
	t.Helper()
	return Said[map[string]any](t, a)
}
