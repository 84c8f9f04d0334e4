package localapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// injectTrip sends a request through a broker's egress door.
type injectTrip struct{ *route }

// RoundTrip implements http.RoundTripper.
func (t injectTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.api.cfg.Client.Egress().RoundTrip(r)
}

// tokenTrip sends a request to the service itself, with a token. r is ReverseProxy's own copy.
type tokenTrip struct{ *route }

// RoundTrip implements http.RoundTripper.
func (t tokenTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	conn := t.api.cfg.Client.Conn()
	key := t.key(conn)
	tok, err := t.api.tokens.Get(r.Context(), key)
	if err != nil {
		return nil, err
	}
	e := echo{token: string(tok.Value.value.Reveal())}
	r.Header["Authorization"] = []string{"Bearer " + e.token}
	resp, err := t.up.transport(conn, r).RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), e.trace())))
	if err != nil {
		return nil, t.unanswered(r.Context(), err, e.sent)
	}
	e.watch(resp)
	if resp.StatusCode == http.StatusUnauthorized && refusesToken(resp.Header) {
		t.api.doubt(key, tok)
	}
	for name := range resp.Header {
		if strings.HasPrefix(name, "Intercom-") {
			delete(resp.Header, name) // ours to say
		}
	}
	resp.Header[fault.DecisionHeader] = []string{tok.Value.decision}
	return resp, nil
}

// refusesToken reports whether the service says that the token is no good (RFC 6750, section 3.1).
func refusesToken(h http.Header) bool {
	for _, challenge := range h["Www-Authenticate"] {
		if strings.Contains(challenge, "invalid_token") {
			return true
		}
	}
	return false
}

// unanswered says why the service gave no answer, to a request that was sent or was not.
func (rt *route) unanswered(ctx context.Context, err error, sent bool) error {
	where := rt.base.Scheme + "://" + rt.base.Host
	switch {
	case ctx.Err() != nil:
		return fault.New(fault.Timeout, "", "the caller did not wait for the answer").Because(ctx.Err())
	case errors.Is(err, hygiene.ErrDial):
		return fault.Newf(fault.Denied, "DIAL_GUARD",
			"the address of %s is not one that may be dialled: open it in the service file, as in upstream: { url: %q, dial: [127.0.0.0/8] }", where, where).Because(err)
	case errors.Is(err, errUpstream):
		return fault.Newf(fault.Unavailable, "UPSTREAM_UNTRUSTED",
			"service %q at %s showed a certificate that is not trusted: see upstreams in the sidecar's configuration", rt.name(), where).Because(err)
	case sent:
		return fault.Newf(fault.Unavailable, client.ReasonBroken, "service %q at %s took the request and broke off before it had answered", rt.name(), where).Because(err)
	default:
		return fault.Newf(fault.Unavailable, "UPSTREAM_UNREACHABLE", "service %q does not answer at %s", rt.name(), where).Because(err)
	}
}
