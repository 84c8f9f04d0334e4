package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"google.golang.org/grpc/codes"
)

var kinds = []fault.Kind{
	fault.Internal, fault.InvalidRequest, fault.InvalidScope, fault.InvalidTarget, fault.InvalidGrant,
	fault.Unauthenticated, fault.UnauthorizedClient, fault.Unsupported, fault.Denied, fault.NotFound,
	fault.TooLarge, fault.Overloaded, fault.Unavailable, fault.Timeout,
}

// TestWhatTheCallerReads holds the three translations beside each other.
func TestWhatTheCallerReads(t *testing.T) {
	for _, c := range []struct {
		kind  fault.Kind
		code  codes.Code
		http  int
		oauth string
	}{
		{fault.Internal, codes.Internal, 500, "server_error"},
		{fault.InvalidRequest, codes.InvalidArgument, 400, "invalid_request"},
		{fault.InvalidScope, codes.InvalidArgument, 400, "invalid_scope"},
		{fault.InvalidTarget, codes.PermissionDenied, 403, "invalid_target"},
		{fault.InvalidGrant, codes.FailedPrecondition, 400, "invalid_grant"},
		{fault.Unauthenticated, codes.Unauthenticated, 401, "invalid_client"},
		{fault.UnauthorizedClient, codes.PermissionDenied, 403, "unauthorized_client"},
		{fault.Unsupported, codes.Unimplemented, 501, "unsupported_grant_type"},
		{fault.Denied, codes.PermissionDenied, 403, "invalid_target"},
		{fault.NotFound, codes.NotFound, 404, "invalid_target"},
		{fault.TooLarge, codes.ResourceExhausted, 413, "invalid_request"},
		{fault.Overloaded, codes.ResourceExhausted, 429, "temporarily_unavailable"},
		{fault.Unavailable, codes.Unavailable, 503, "temporarily_unavailable"},
		{fault.Timeout, codes.DeadlineExceeded, 504, "temporarily_unavailable"},
	} {
		e := fault.New(c.kind, "", "words")
		if _, oauth := e.OAuth(); fault.Status(e).Code() != c.code || e.HTTPStatus() != c.http || oauth != c.oauth {
			t.Errorf("%v: gRPC %v, HTTP %d, OAuth %s; want %v, %d, %s", c.kind, fault.Status(e).Code(), e.HTTPStatus(), oauth, c.code, c.http, c.oauth)
		}
	}
}

func TestGRPCRoundTrip(t *testing.T) {
	for _, k := range kinds {
		sent := &fault.Error{Kind: k, Reason: "WHY", Message: "words", Decision: "d1", RetryAfter: 3 * time.Second}
		got := fault.FromStatus(fault.Status(sent).Err())
		if got.Kind != k || got.Reason != "WHY" || got.Message != "words" || got.Decision != "d1" || got.RetryAfter != 3*time.Second {
			t.Errorf("%v came back as %+v", k, got)
		}
		if !errors.Is(got, k) {
			t.Errorf("errors.Is(%v) is false after the round trip", k)
		}
	}
}

// TestTheCauseStaysHome sends an error whose cause names what only the log may know.
func TestTheCauseStaysHome(t *testing.T) {
	const private = "dial tcp 10.0.0.7:8200"
	for _, err := range []error{
		fault.New(fault.Unavailable, "VAULT_UNREACHABLE", "the credential store does not answer").Because(errors.New(private)),
		fmt.Errorf("reading: %w", errors.New(private)),
	} {
		problem, oauth := httptest.NewRecorder(), httptest.NewRecorder()
		fault.WriteProblem(problem, err)
		fault.WriteOAuth(oauth, err)
		for where, sent := range map[string]string{
			"gRPC": fmt.Sprint(fault.Status(err).Proto()), "problem": problem.Body.String(), "OAuth": oauth.Body.String(),
		} {
			if strings.Contains(sent, private) {
				t.Errorf("%s tells the cause: %s", where, sent)
			}
		}
		if !strings.Contains(err.Error(), private) {
			t.Errorf("the log loses the cause: %v", err)
		}
	}
}

func TestProblem(t *testing.T) {
	w := httptest.NewRecorder()
	fault.WriteProblem(w, fault.WithDecision(fault.New(fault.Unavailable, "AUDIT_FULL", "cannot record"), "d7"))
	var p fault.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	want := fault.Problem{Type: "about:blank", Title: "Service Unavailable", Status: 503, Detail: "cannot record", Code: "AUDIT_FULL", Decision: "d7"}
	if p != want {
		t.Errorf("problem %+v, want %+v", p, want)
	}
	for header, value := range map[string]string{
		"Content-Type": "application/problem+json", "Retry-After": "1", fault.DecisionHeader: "d7", "Cache-Control": "no-store",
	} {
		if got := w.Header().Get(header); got != value {
			t.Errorf("%s: %q, want %q", header, got, value)
		}
	}
}

// TestNobodyClassified: what has no kind is Internal, a nil too, and never OK.
func TestNobodyClassified(t *testing.T) {
	for _, err := range []error{nil, errors.New("x")} {
		if fault.KindOf(err) != fault.Internal {
			t.Errorf("KindOf(%v) = %v", err, fault.KindOf(err))
		}
	}
	if got := fault.FromStatus(nil); got.Kind != fault.Internal {
		t.Errorf("FromStatus(nil) = %v", got.Kind)
	}
}

// TestDescriptionsKeepToTheirCharacters: RFC 6749, section 5.2, has no quotes, no backslash and no line
// breaks in an error_description.
func TestDescriptionsKeepToTheirCharacters(t *testing.T) {
	w := httptest.NewRecorder()
	fault.WriteOAuth(w, fault.New(fault.InvalidRequest, "", "a \"name\" of\n\\ \u00e4, that's it"))
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if got := body["error_description"]; got != "a 'name' of?' ?, that's it" {
		t.Errorf("%q", got)
	}
}

// TestTimeThatRanOut: a handler that gives up with its caller's context has not failed by itself.
func TestTimeThatRanOut(t *testing.T) {
	for _, err := range []error{context.DeadlineExceeded, context.Canceled, fmt.Errorf("read: %w", context.DeadlineExceeded)} {
		if got := fault.From(err); got.Kind != fault.Timeout {
			t.Errorf("%v is %v", err, got.Kind)
		}
	}
	if got := fault.From(fault.New(fault.Denied, "", "no").Because(context.Canceled)); got.Kind != fault.Denied {
		t.Errorf("a refusal became %v", got.Kind)
	}
}
