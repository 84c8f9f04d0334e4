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
	if f := fault.From(err); f.Reason == client.ReasonBroken {
		writeBadGateway(w, f)
		return
	}
	fault.WriteProblem(w, err)
}

// writeBadGateway is WriteProblem for requests that were sent and not answered: fault has no kind for what
// is no failure of ours, and its 503 would say that it is safe to come again.
func writeBadGateway(w http.ResponseWriter, f *fault.Error) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if f.Decision != "" {
		h.Set(fault.DecisionHeader, f.Decision)
	}
	w.WriteHeader(http.StatusBadGateway)
	_ = json.NewEncoder(w).Encode(fault.Problem{
		Type: "about:blank", Title: http.StatusText(http.StatusBadGateway), Status: http.StatusBadGateway,
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
