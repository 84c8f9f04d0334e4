package inject

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/service"
)

// HMAC signs r in the form that the package comment describes.
func HMAC(r *Request, in *service.HMAC, fields credential.Fields) error {
	key, err := pick(fields, fieldKey)
	if err != nil {
		return err
	}
	now := strconv.FormatInt(r.Now.Unix(), 10)
	if err := set(r.Header, in.Timestamp, "", []byte(now), isFieldByte); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key.Reveal())
	mac.Write([]byte(canonical(r, in, now)))
	return set(r.Header, in.Header, in.Prefix, hex.AppendEncode(nil, mac.Sum(nil)), isFieldByte)
}

func canonical(r *Request, in *service.HMAC, now string) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/" // as it stands in the request line
	}
	lines := []string{"intercom-hmac-v1", r.Method, path, r.URL.RawQuery, now}
	for _, name := range in.Headers {
		name = http.CanonicalHeaderKey(name)
		value := strings.Join(r.Header[name], ",")
		if name == "Host" {
			value = Host(r.URL)
		}
		lines = append(lines, strings.ToLower(name)+":"+value)
	}
	return strings.Join(append(lines, r.hash()), "\n")
}
