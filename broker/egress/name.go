package egress

import (
	"cmp"
	"net"
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
)

// target is the service that a request names, and the path at it.
type target struct {
	service, path string
}

// resource is the target in the policy's form, without the type.
func (t target) resource(method string) string { return t.service + "/" + method + t.path }

// named reads the service from Host or :authority, or else from the first segment of the canonical path. An
// absolute URL names its host and nothing else: a forward proxy's client means that host. Whether there is
// such a service is not looked at for the path: who may not call it does not learn.
func (h *Handler) named(r *http.Request, path string) (target, error) {
	host := strings.ToLower(hostname(r.Host))
	if _, ok := h.cfg.Services().Get(host); ok || r.URL.IsAbs() {
		return checked(target{host, path})
	}
	name, _, _ := strings.Cut(path[1:], "/")
	return checked(target{name, cmp.Or(path[1+len(name):], "/")})
}

func checked(t target) (target, error) {
	if isLabel(t.service) {
		return t, nil
	}
	return target{}, fault.New(fault.InvalidRequest, "SERVICE_NOT_NAMED",
		"name the service: as the first segment of the path, /{service}/…, or as the Host")
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

// isLabel reports whether s could be a service's name.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		!strings.ContainsFunc(s, func(c rune) bool { return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') })
}

// isGRPC reports whether the caller understands no answer but gRPC's.
func isGRPC(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return ok && r.ProtoMajor == 2 && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
