package localapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// api is the first segment of the sidecar's own paths.
const api = "v1"

// names are the hosts under which a door is reached itself.
type names struct {
	hosts []string // beyond loopback addresses and localhost
	port  string   // of the TCP door; empty for a Unix socket
}

// target is what a request asks for.
type target struct {
	service string // empty: the sidecar itself
	path    string // canonical, as the service or the sidecar sees it
}

// target reads r's target. It decides what is asked for, not whether there is such a service.
func (n names) target(r *http.Request) (target, error) {
	if r.Method == http.MethodConnect {
		return target{}, fault.New(fault.Unsupported, "CONNECT",
			"CONNECT hides the request from the one who is to add a credential: use an http:// URL for the service, also when it speaks https")
	}
	if r.URL.IsAbs() && r.URL.Scheme != "http" {
		return target{}, fault.New(fault.Unsupported, "SCHEME", "only http:// URLs are served here; TLS to the service is the sidecar's part")
	}
	path, err := hygiene.CheckRequest(r)
	if err != nil {
		return target{}, fault.New(fault.InvalidRequest, "BAD_REQUEST", err.Error())
	}
	host, port, ok := splitHost(r.Host)
	switch {
	case !ok:
		return target{}, fault.New(fault.InvalidRequest, "BAD_HOST", "the request names no host, or none that can be read")
	case port != "" && port != "80" && port != n.port:
		return target{}, fault.New(fault.Denied, "FOREIGN_HOST", "the port is not this door's: name the service without a port, as in http://inventory/")
	case n.own(host):
		return ownTarget(path), nil
	case !isLabel(host):
		return target{}, fault.New(fault.Denied, "FOREIGN_HOST",
			"the host is neither this door nor a service: what is not to go through Intercom belongs into no_proxy")
	}
	return target{service: host, path: path}, nil
}

// ownTarget splits a path whose first segment names the service, or is the sidecar's own.
func ownTarget(path string) target {
	first, rest, _ := strings.Cut(path[1:], "/")
	if first == api || first == "" {
		return target{path: path}
	}
	return target{service: first, path: "/" + rest}
}

func (n names) own(host string) bool {
	if host == "localhost" {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() && ip.Zone() == "" {
		return true
	}
	for _, own := range n.hosts {
		if host == own {
			return true
		}
	}
	return false
}

// splitHost splits a Host or :authority in host and port, and lowers its case (RFC 3986, section 3.2.2).
func splitHost(s string) (host, port string, ok bool) {
	host = s
	if strings.HasSuffix(s, "]") && strings.HasPrefix(s, "[") {
		host = s[1 : len(s)-1]
	} else if strings.Contains(s, ":") {
		var err error
		if host, port, err = net.SplitHostPort(s); err != nil || port == "" {
			return "", "", false
		}
	}
	return strings.ToLower(host), port, host != ""
}

// isLabel reports whether s can be a service's name: a DNS label (RFC 1123, section 2.1).
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// fromBrowser refuses what only browsers send. The value does not count: a page that the sidecar itself
// delivered, from a service that has pages, is as foreign here as any other.
func fromBrowser(h http.Header) error {
	for name := range h {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") && !fromNode(h) {
			return fault.Newf(fault.Denied, "BROWSER",
				"the request carries %s, which browsers send: this door is for the service beside it, and a page reaches services through the gateway", name)
		}
	}
	return nil
}

// fromNode reports whether all that looks like a browser is what fetch of Node.js cannot be kept from sending:
// Sec-Fetch-Mode: cors, alone. A browser that sends it sends Sec-Fetch-Site and Sec-Fetch-Dest with it (Fetch
// Metadata, section 4), and no page can take any of these out or put one in.
func fromNode(h http.Header) bool {
	fields := 0
	for name := range h {
		if strings.HasPrefix(name, "Sec-Fetch-") {
			fields++
		}
	}
	mode := h["Sec-Fetch-Mode"]
	return fields == 1 && len(mode) == 1 && mode[0] == "cors"
}

// withoutOffer takes the offer of h2c out of r. The JDK's HTTP client makes it with its first request to
// every http URL, and goes on in HTTP/1.1 where it is not taken up, as a server may choose (RFC 9110, section
// 7.8). Offers of anything else stay, to be refused or to be a WebSocket.
func withoutOffer(r *http.Request) {
	if up := r.Header["Upgrade"]; len(up) == 1 && strings.EqualFold(up[0], "h2c") {
		delete(r.Header, "Upgrade")
		delete(r.Header, "Http2-Settings")
	}
}
