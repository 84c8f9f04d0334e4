package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
	"go.opentelemetry.io/otel/trace"
)

// newLogger writes JSON lines. Our secrets cannot print by their type; what replace takes out is what
// other people's types would print of somebody else's.
func newLogger(out io.Writer, level slog.Level) *slog.Logger {
	return slog.New(traced{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: replace})})
}

// replace redacts headers, cookies and requests as a whole and the password in a URL, and writes durations
// for people.
func replace(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case time.Duration: // slog's JSON has nanoseconds, which nobody reads
		return slog.String(a.Key, v.String())
	case http.Header, *http.Request, *http.Response, *http.Cookie, []*http.Cookie:
		return slog.String(a.Key, secret.Redacted)
	case *url.URL:
		return slog.String(a.Key, v.Redacted())
	}
	if slices.Contains([]string{"authorization", "proxy-authorization", "cookie", "set-cookie"}, strings.ToLower(a.Key)) {
		return slog.String(a.Key, secret.Redacted)
	}
	return a
}

// traced adds the trace id of the context to each record, so that a log line leads to its trace.
type traced struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		r.AddAttrs(slog.String("trace", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h traced) WithAttrs(a []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(a)} }

// WithGroup implements [slog.Handler].
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
