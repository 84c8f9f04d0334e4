package egress

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
)

// target is the service that a request names, and the path at it.
type target struct {
	service, path string
}

// resource is the target in the policy's form, without the type.
func (t target) resource(method string) string { return t.service + "/" + method + t.path }

// named reads the service from Host or :authority, or else from the first segment of the canonical path. A
// Host without a dot names its service, and nothing in its place if there is none: a call that is meant for
// one service is not another's because of its path. The path speaks where the Host is the door's own. An
// absolute URL names its host and nothing else: a forward proxy's client means that host.
func named(r *http.Request, path string) (target, error) {
	host := strings.ToLower(hostname(r.Host))
	if r.URL.IsAbs() || !isDoor(host) {
		return checked(target{host, path})
	}
	name, _, _ := strings.Cut(path[1:], "/")
	return checked(target{name, cmp.Or(path[1+len(name):], "/")})
}

// isDoor reports whether host can be the name of a door: an address, localhost, or a name of several labels.
// No service has such a name.
func isDoor(host string) bool {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "localhost" {
		return true
	}
	return strings.Contains(strings.TrimSuffix(host, "."), ".")
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
