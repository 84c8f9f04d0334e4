package localapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
)

// writeFailure answers with err in the caller's words.
func writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	if isGRPC(r) {
		writeStatus(w, err)
		return
	}
	switch f := fault.From(err); f.Reason {
	case client.ReasonBroken:
		// 503 would say that it is safe to come again, and it is no failure of ours.
		writeProblem(w, f, http.StatusBadGateway)
	case reasonMethod:
		w.Header().Set("Allow", http.MethodGet) // RFC 9110, section 15.5.6
		writeProblem(w, f, http.StatusMethodNotAllowed)
	default:
		fault.WriteProblem(w, err)
	}
}

// writeProblem is fault.WriteProblem with a status for which fault has no kind.
func writeProblem(w http.ResponseWriter, f *fault.Error, status int) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if f.Decision != "" {
		h.Set(fault.DecisionHeader, f.Decision)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(fault.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: f.Message, Code: f.Code(), Decision: f.Decision,
	})
}

// isGRPC reports whether r is a gRPC call (PROTOCOL-HTTP2: the content type begins so).
func isGRPC(r *http.Request) bool {
	if r.ProtoMajor != 2 || len(r.Header["Content-Type"]) != 1 {
		return false
	}
	rest, ok := strings.CutPrefix(r.Header["Content-Type"][0], "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// writeStatus answers with err as a response of headers alone (Trailers-Only), details included.
func writeStatus(w http.ResponseWriter, err error) {
	st := fault.Status(err).Proto()
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(st.GetCode())))
	h.Set("Grpc-Message", percent(st.GetMessage()))
	if details, err := proto.Marshal(st); err == nil {
		h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
	}
	w.WriteHeader(http.StatusOK)
}

// percent encodes a message as grpc-message wants it: bytes outside of printable ASCII, and the percent
// sign.
func percent(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
