package bff

import (
	"context"
	"net/http"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/service"
)

// stream sends the request on, and the answer back.
func (v *visit) stream(header http.Header) {
	call := upstream.Call{
		Service: v.route.Service, Path: v.path, Header: header, Anonymous: v.who == nil,
		Modify: v.sign,
		Refuse: func(w http.ResponseWriter, r *http.Request, e *fault.Error) {
			d := *e
			d.Decision = v.grant.ID
			v.answer(w, r, v.origin, &d, v.audience())
		},
		Opened: v.opened,
		Ended: func(o upstream.Outcome) {
			v.outcome.Bytes = o.Bytes
			if o.Err != nil {
				v.outcome.Err = o.Err
			}
		},
	}
	if v.minter != nil && v.route.Service.Token.Bind == service.BindSVID {
		call.Certificate = v.minter.Certificate
	}
	if v.route.Service.Mode == service.ModeInject {
		call.Via = v.Inject
	}
	if v.who != nil {
		call.Again = func(res *http.Response) http.Header { return v.again(res, header) }
	}
	v.Proxy.Serve(v.w, v.r, call)
}

// sign says who may read the answer, and by which decision it came. A nonce is for us, and not for the page.
func (v *visit) sign(res *http.Response) error {
	h := res.Header
	if h[dpopNonce] != nil {
		v.nonces.learn(v.route.Service.Name, res)
		delete(h, dpopNonce)
	}
	holdBack(res, v.r.Header, v.origin.URL)
	h[fault.DecisionHeader] = []string{v.grant.ID}
	allow(h, v.r, v.origin) // package upstream has taken away what the service said of it
	expose(h)
	return nil
}

// again returns what to send after a 401: the same with the nonce that the service wants, or a token that is newer than
// the one that was not taken; and nothing where there is none, since the service means what it says then.
func (v *visit) again(res *http.Response, sent http.Header) http.Header {
	if v.nonces.learn(v.route.Service.Name, res) {
		next, err := v.header()
		if err != nil {
			return nil
		}
		return next
	}
	if !v.memory.forget(v.who.Hash, v.now()) {
		return nil
	}
	if user := v.route.Service.Browser.User; user.Kind == service.UserBasic && v.Refused != nil {
		v.Refused(user.Credential)
	}
	next, err := v.header()
	if err != nil || next.Get("Authorization") == sent.Get("Authorization") {
		return nil
	}
	return next
}

// askAgain is how often policy is asked of a stream that lasts. One that a new rule forbids ends within it.
const askAgain = 5 * time.Second

// opened returns a context that ends with the session, when policy allows it no longer, or when this gateway ends:
// what lasts must not outlive any of them.
func (v *visit) opened(*http.Response) context.Context {
	ctx, cancel := context.WithCancelCause(v.r.Context())
	var ended <-chan session.Ended
	if v.who != nil {
		ended = v.Sessions.Watch(ctx, v.who.Hash)
	}
	go func() { cancel(v.watch(ctx, ended)) }()
	return ctx
}

// watch returns why a stream ends; nil when it has ended by itself.
func (v *visit) watch(ctx context.Context, ended <-chan session.Ended) error {
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-ended:
			if !ok {
				return nil
			}
			return fault.New(fault.Unauthenticated, e.Code(), "the session ended")
		case <-v.Draining:
			return fault.New(fault.Unavailable, "gateway_draining", "this gateway ends; connect again")
		case <-tick.C:
			if err := v.still(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
