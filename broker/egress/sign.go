package egress

import (
	"bytes"
	"io"
	"net/http"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// The refusals of requests that cannot be signed.
const (
	ReasonBodyLimit = "BODY_OVER_LIMIT"       // what the signature covers is longer than the service's body_limit
	ReasonStreaming = "SIGNATURE_IN_THE_BODY" // a body that is signed in chunks
)

// planSignature adds the step that is the last one: it covers what all others put in.
func (p *plan) planSignature(in *service.Inject) {
	switch {
	case in.SigV4 != nil:
		p.steps = append(p.steps, func(a *act) error { return a.signV4(in.SigV4) })
	case in.HMAC != nil:
		p.steps = append(p.steps, func(a *act) error {
			return a.sign(in.HMAC.Credential, in.HMAC.BodyLimit, func(r *inject.Request, fields credential.Fields) error {
				return inject.HMAC(r, in.HMAC, fields)
			})
		})
	}
}

func (a *act) signV4(in *service.SigV4) error {
	// A body in aws-chunked is framed by signatures of the caller's; without them the frames would be stored.
	for _, v := range a.in.Header["X-Amz-Content-Sha256"] {
		if len(v) > len("STREAMING-") && v[:len("STREAMING-")] == "STREAMING-" {
			return fault.New(fault.InvalidRequest, ReasonStreaming, "send the body as it is, not in aws-chunked: it is signed on the way")
		}
	}
	limit := in.BodyLimit
	if inject.StreamsSigned(a.upstream.service.Upstream.URL, in) {
		limit = 0
	}
	return a.sign(in.Credential, limit, func(r *inject.Request, fields credential.Fields) error {
		if token := fields["session_token"]; !token.IsZero() {
			a.remember(string(token.Reveal()))
		}
		return inject.SigV4(r, in, fields)
	})
}

// sign reads the body, up to limit, and lets put sign the whole. A limit of 0 leaves the body to stream.
func (a *act) sign(name string, limit int64, put func(*inject.Request, credential.Fields) error) error {
	r := &inject.Request{Method: a.in.Method, URL: a.url, Header: a.header, Length: a.in.ContentLength, Now: a.handler.cfg.Now()}
	if limit > 0 {
		if err := a.readBody(limit); err != nil {
			return err
		}
		r.Body, r.Length = a.body, int64(len(a.body))
	}
	served, err := a.fetch(name)
	if err != nil {
		return err
	}
	a.host = inject.Host(a.url)
	return put(r, served.Fields)
}

// readBody takes the whole body into memory, once for both attempts.
func (a *act) readBody(limit int64) error {
	if a.whole {
		return nil
	}
	over := fault.Newf(fault.TooLarge, ReasonBodyLimit, "the body is longer than the %d bytes that are signed for this service", limit)
	if a.in.ContentLength > limit {
		return over
	}
	body, err := io.ReadAll(io.LimitReader(a.in.Body, limit+1))
	switch {
	case err != nil && a.in.Context().Err() != nil:
		return outbound.Gone()
	case err != nil:
		return fault.New(fault.InvalidRequest, ReasonBody, "the request's body could not be read to its end").Because(err)
	case int64(len(body)) > limit:
		return over
	}
	a.body, a.whole = body, true
	a.bytes.Add(int64(len(body)))
	a.sent.ended.Store(true)
	return nil
}

// setBody gives r the body that was read.
func (a *act) setBody(r *http.Request) {
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(a.body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength, r.TransferEncoding = int64(len(a.body)), nil
	if len(a.body) == 0 {
		r.Body, r.GetBody = http.NoBody, nil
	}
}
