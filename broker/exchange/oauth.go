package exchange

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

// The endpoints, below the issuer's path.
const (
	pathToken      = "/oauth2/token"
	pathIntrospect = "/oauth2/introspect"
	pathRevoke     = "/oauth2/revoke"
)

// OAuth is the door for stock OAuth clients, on the web listener. It is no act of its own: tokens are had
// from Service, by the same steps as on the gRPC door.
//
// Every endpoint goes the same way, which is numbered in [OAuth.endpoint]. There are no CORS headers: a
// page in a browser has no SVID, and nothing to ask here.
type OAuth struct {
	// Service mints; its Point decides all acts of this door. Required.
	Service *Service
	// Client proves who calls; [authn.Verifier.Client] does. Required.
	Client func(context.Context, authn.ClientProof) (identity.Principal, error)
	// Enter counts a call of the context's principal until leave is called, or refuses it; nil bounds
	// nothing.
	Enter func(context.Context) (leave func(), err error)
	// Keys finds the public keys of our tokens; required.
	Keys token.KeySource
	// Revoked has the tokens that ended before their time; required.
	Revoked *Revocations
	// SignReply signs introspection responses; required.
	SignReply func(ctx context.Context, typ string, claims any) (secret.Value, error)
}

// Mount adds the endpoints. Other methods than POST are answered 405 by mux, with Allow.
func (o *OAuth) Mount(mux *http.ServeMux) {
	base := basePath(o.Service.Issuer)
	mux.HandleFunc("POST "+base+pathToken, o.endpoint(o.token))
	mux.HandleFunc("POST "+base+pathIntrospect, o.endpoint(o.introspect))
	mux.HandleFunc("POST "+base+pathRevoke, o.endpoint(o.revoke))
}

// reply is what an endpoint answers, and the id under which that was decided.
type reply struct {
	decision    string
	contentType string
	body        []byte
}

// endpoint is what is the same for all endpoints; act is one of them.
func (o *OAuth) endpoint(act func(*http.Request, form) (reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// 1. What is asked?
		f, err := readForm(w, r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		// 2. By whom?
		who, err := o.who(r, f)
		if err != nil {
			refuse(w, r, err)
			return
		}
		ctx := identity.NewContext(r.Context(), who)
		// 3. Within its share?
		leave, err := o.enter(ctx)
		if err != nil {
			refuse(w, r, err)
			return
		}
		defer leave()
		// 4. May it? The act asks, and acts.
		answer, err := act(r.WithContext(ctx), f)
		if err != nil {
			refuse(w, r, err)
			return
		}
		answer.write(w)
	}
}

func (o *OAuth) who(r *http.Request, f form) (identity.Principal, error) {
	proof, err := f.proof(r)
	if err != nil {
		return identity.Principal{}, err
	}
	return o.Client(r.Context(), proof)
}

func (o *OAuth) enter(ctx context.Context) (leave func(), err error) {
	if o.Enter == nil {
		return func() {}, nil
	}
	return o.Enter(ctx)
}

// refuse answers with err. A client that tried the Authorization header is answered with a challenge of
// the scheme that it used (RFC 6749, section 5.2); for certificates and assertions there is no scheme, and
// clients that know these methods read the JSON.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); scheme != "" && fault.KindOf(err) == fault.Unauthenticated {
		if !strings.EqualFold(scheme, "Bearer") { // what the client writes is no part of our headers
			scheme = "Basic"
		}
		w.Header().Set("WWW-Authenticate", scheme+` realm="intercom"`)
	}
	fault.WriteOAuth(w, err)
}

// answer returns v as the body of a reply.
func answer(v any, decision string) (reply, error) {
	body, err := json.Marshal(v)
	return reply{decision: decision, contentType: "application/json", body: body}, err
}

// write sends the reply, which nobody may keep (RFC 6749, section 5.1).
func (a reply) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	if a.decision != "" {
		h.Set(fault.DecisionHeader, a.decision)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(a.body) // a client that has gone away needs no answer
}

// until counts whole seconds, down: a client must not use a token for longer than it lives.
func until(end, now time.Time) int64 { return max(0, int64(end.Sub(now)/time.Second)) }
