package outbound

import (
	"encoding/json"
	"net/http"

	"github.com/intercom-broker/intercom/broker/fault"
)

// WriteProblem is [fault.WriteProblem], and answers 502 where a service failed: fault has no kind for it,
// because only a gateway can say it (RFC 9110, section 15.6.3).
func WriteProblem(w http.ResponseWriter, err error) {
	e := fault.From(err)
	if !IsUpstream(e) || e.Kind == fault.Timeout {
		fault.WriteProblem(w, e)
		return
	}
	WriteBadGateway(w, e)
}

// WriteBadGateway answers 502 with e, whatever its kind.
func WriteBadGateway(w http.ResponseWriter, e *fault.Error) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.Decision != "" {
		h.Set(fault.DecisionHeader, e.Decision)
	}
	w.WriteHeader(http.StatusBadGateway)
	_ = json.NewEncoder(w).Encode(fault.Problem{
		Type: "about:blank", Title: http.StatusText(http.StatusBadGateway), Status: http.StatusBadGateway,
		Detail: e.Message, Code: e.Code(), Decision: e.Decision,
	})
}
