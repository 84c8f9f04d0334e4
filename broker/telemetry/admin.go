package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin serves /healthz, /readyz, /metrics and /debug/pprof/. A check returns why its part is not ready;
// its text is for operators.
//
// The listener asks nobody who they are and a profile shows memory, so on loopback it answers only to
// names of loopback: a web page on the same machine that points a name of its own at 127.0.0.1 is
// refused. So is one that sends a browser here by the right name, as an image's source may.
func (t *Telemetry) Admin(checks map[string]func() error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"process": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { ready(w, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return sameMachine(noPage(mux))
}

// sameMachine refuses a foreign Host on connections that came over loopback.
func sameMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if local != nil && local.IP.IsLoopback() && !isLoopback(hostOf(r.Host)) {
			http.Error(w, "this listener answers to localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noPage refuses what a browser sends for a page of another origin. Programs say nothing of origins.
func noPage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromPage(r.Header) {
			http.Error(w, "this listener does not answer to web pages", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromPage reads Fetch Metadata: none is what somebody typed, and same-origin a link in the index of
// profiles.
func fromPage(h http.Header) bool {
	for _, site := range h["Sec-Fetch-Site"] {
		if site != "none" && site != "same-origin" {
			return true
		}
	}
	return len(h["Origin"]) > 0
}

// hostOf returns host without its port, where it has one.
func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func ready(w http.ResponseWriter, checks map[string]func() error) {
	status, parts := http.StatusOK, make(map[string]string, len(checks))
	for name, check := range checks {
		parts[name] = "ok"
		err := check()
		if err == nil {
			continue
		}
		parts[name] = err.Error()
		if !Serves(err) {
			status = http.StatusServiceUnavailable
		}
	}
	writeJSON(w, status, parts)
}

type impaired struct{ error }

// Impaired is what a check returns of a part that lacks something and still serves: /readyz tells it, and stays 200. It is
// for what all processes lack at once: a balancer that takes all of them away makes more fail than what is missing.
func Impaired(err error) error {
	if err == nil {
		return nil
	}
	return &impaired{err}
}

// Serves reports whether a part serves whose check returned err: all is well, or [Impaired].
func Serves(err error) bool {
	_, is := errors.AsType[*impaired](err)
	return err == nil || is
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// CheckLoopback refuses an admin address that other machines reach: profiles and metrics are not for
// everyone, and the listener asks nobody who they are.
func CheckLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("want host:port, got %q", address)
	}
	if isLoopback(host) {
		return nil
	}
	return fmt.Errorf("%s is not on loopback, and this listener asks nobody who they are", address)
}
