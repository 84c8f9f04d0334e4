package fault

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
)

// DecisionHeader carries the decision id in every HTTP answer.
const DecisionHeader = "Intercom-Decision"

var httpStatuses = [kinds]int{
	Internal: http.StatusInternalServerError, InvalidRequest: http.StatusBadRequest,
	InvalidScope: http.StatusBadRequest, InvalidTarget: http.StatusForbidden, InvalidGrant: http.StatusBadRequest,
	Unauthenticated: http.StatusUnauthorized, UnauthorizedClient: http.StatusForbidden,
	Unsupported: http.StatusNotImplemented, Denied: http.StatusForbidden, NotFound: http.StatusNotFound,
	TooLarge: http.StatusRequestEntityTooLarge, Overloaded: http.StatusTooManyRequests,
	Unavailable: http.StatusServiceUnavailable, Timeout: http.StatusGatewayTimeout,
}

// Problem is the body of an HTTP refusal (RFC 9457, section 3), with three members of our own.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Code is the stable reason, for machines.
	Code string `json:"code"`
	// Decision is the id under which the decision stands in the audit log.
	Decision string `json:"decision,omitempty"`
}

// HTTPStatus returns the status code for e's kind.
func (e *Error) HTTPStatus() int { return httpStatuses[e.Kind] }

// WriteProblem answers with err as application/problem+json.
func WriteProblem(w http.ResponseWriter, err error) {
	e := From(err)
	code := e.HTTPStatus()
	e.WriteHeaders(w.Header())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(Problem{
		Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: e.Message, Code: e.Code(), Decision: e.Decision,
	})
}

// WriteHeaders writes what every refusal over HTTP carries, for doors that write a page of their own.
func (e *Error) WriteHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.Decision != "" {
		h.Set(DecisionHeader, e.Decision)
	}
	if wait := e.retryAfter(); wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}
