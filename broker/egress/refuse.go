package egress

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/outbound"
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
		outbound.AbandonBody(&a.writer, a.in)
	}
	switch {
	case a.writer.status != 0:
	case isGRPC(a.in):
		a.writeStatus(e)
	default:
		outbound.WriteProblem(&a.writer, e)
	}
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
