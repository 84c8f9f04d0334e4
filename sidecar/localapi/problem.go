package localapi

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/intercom-broker/intercom/broker/fault"
)

// writeFailure answers with err in the caller's words.
func writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	if isGRPC(r) {
		writeStatus(w, err)
		return
	}
	fault.WriteProblem(w, err)
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
