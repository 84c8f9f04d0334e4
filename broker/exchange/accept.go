package exchange

import (
	"mime"
	"strconv"
	"strings"
)

// wantsJWT reports whether the caller asks for a signed answer by its media type, and at least as much as
// for JSON (RFC 9110, section 12.5.1). A wildcard asks for nothing in particular, and gets JSON.
func wantsJWT(accept []string) bool {
	signed, plain := 0.0, 0.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		switch kind {
		case mediaIntrospection:
			signed = max(signed, weight(params))
		case "application/json":
			plain = max(plain, weight(params))
		}
	}
	return signed > 0 && signed >= plain
}

func weight(params map[string]string) float64 {
	q, given := params["q"]
	if !given {
		return 1
	}
	w, err := strconv.ParseFloat(q, 64)
	if err != nil || !(w >= 0 && w <= 1) {
		return 0
	}
	return w
}
