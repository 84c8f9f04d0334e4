package egress

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/intercom-broker/intercom/broker/fault"
)

// refuse answers with err, in the caller's language: a gRPC client gets a status, all others a problem. It
// answers nothing where an answer has begun.
func (a *act) refuse(err error) {
	e := fault.From(err)
	if e.Decision == "" && a.grant != nil {
		e = fault.WithDecision(e, a.grant.ID)
	}
	if a.grant != nil {
		a.outcome.Err = e
	}
	if e.Kind == fault.Internal || a.upstream != nil && e.Kind != fault.Denied {
		a.handler.cfg.Logger.WarnContext(a.in.Context(), "a call failed",
			"service", a.target.service, "decision", e.Decision, "reason", e.Code(), "error", e)
	}
	if a.writer.status == 0 {
		a.abandonBody()
	}
	switch {
	case a.writer.status != 0:
	case isGRPC(a.in):
		a.writeStatus(e)
	case isUpstreamFault(e):
		a.writeBadGateway(e)
	default:
		fault.WriteProblem(&a.writer, e)
	}
}

// abandonment is how long the rest of a refused request's body is waited for.
const abandonment = 2 * time.Second

// abandonBody bounds how long a body that nobody wants holds its connection: net/http reads up to 256 KB of it
// before it lets go, without a deadline. The connection ends with the answer, so no later request meets
// the deadline. HTTP/2 resets the stream instead, and reads nothing.
func (a *act) abandonBody() {
	if a.in.ContentLength == 0 || a.in.ProtoMajor != 1 {
		return
	}
	a.writer.Header().Set("Connection", "close")
	// Where there is no connection to set it on, there is none that is held.
	_ = http.NewResponseController(a.writer.ResponseWriter).SetReadDeadline(time.Now().Add(abandonment))
}

// writeStatus is a gRPC answer that consists of its trailer alone.
func (a *act) writeStatus(e *fault.Error) {
	st := fault.Status(e)
	h := a.writer.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(st.Code())))
	h.Set("Grpc-Message", encodeMessage(st.Message()))
	if details, err := proto.Marshal(st.Proto()); err == nil {
		h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
	}
	if e.Decision != "" {
		h.Set(fault.DecisionHeader, e.Decision)
	}
	a.writer.WriteHeader(http.StatusOK)
}

// encodeMessage percent-encodes as the gRPC protocol over HTTP/2 says of Status-Message.
func encodeMessage(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// writeBadGateway is WriteProblem for the one status that is no failure of ours: fault has no kind for it,
// because only a gateway can say it.
func (a *act) writeBadGateway(e *fault.Error) {
	h := a.writer.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(fault.DecisionHeader, e.Decision)
	a.writer.WriteHeader(http.StatusBadGateway)
	_ = json.NewEncoder(&a.writer).Encode(fault.Problem{
		Type: "about:blank", Title: http.StatusText(http.StatusBadGateway), Status: http.StatusBadGateway,
		Detail: e.Message, Code: e.Code(), Decision: e.Decision,
	})
}
