package localapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
	"github.com/intercom-broker/intercom/sidecar/cache"
)

// RequestHeader must stand in requests for tokens and credentials, with the value 1. A page cannot add it
// to a request to another origin unless that origin answers a preflight, and this one does not.
const RequestHeader = "Intercom-Request"

// reasonMethod says that a path of ours was asked with another method than GET.
const reasonMethod = "METHOD"

// own answers the sidecar's own paths.
func (a *API) own(w http.ResponseWriter, r *http.Request, path string) error {
	var answer func(http.ResponseWriter, *http.Request) error
	switch path {
	case "/v1/token":
		answer = a.token
	case "/v1/credential":
		answer = a.credential
	default:
		return fault.New(fault.NotFound, "NO_SUCH_PATH",
			"the first segment of the path names the service, as in /inventory/; the sidecar's own are /v1/token?audience= and /v1/credential?name=")
	}
	if r.Method != http.MethodGet {
		return fault.New(fault.Unsupported, reasonMethod, "this is read with GET")
	}
	if v := r.Header[RequestHeader]; len(v) != 1 || v[0] != "1" {
		return fault.New(fault.Denied, "HEADER_MISSING", "add the header Intercom-Request: 1 to requests for tokens and credentials")
	}
	return answer(w, r)
}

// query reads the parameters. The one that is required and the optional ones stand at most once, and no
// others do: a parameter that is not understood might be one that narrows what is asked for.
func query(raw, required string, optional ...string) (map[string]string, error) {
	bad := fault.Newf(fault.InvalidRequest, "BAD_QUERY", "want the parameter %s, once, and none that is not known here", required)
	if len(raw) > 4096 {
		return nil, bad
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, bad
	}
	got := map[string]string{}
	for name, v := range values {
		known := name == required
		for _, o := range optional {
			known = known || name == o
		}
		if !known || len(v) != 1 || !printable(v[0]) {
			return nil, bad
		}
		got[name] = v[0]
	}
	if got[required] == "" {
		return nil, bad
	}
	return got, nil
}

// printable bounds what is sent on to the broker.
func printable(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return false
		}
	}
	return len(s) <= 512
}

type tokenAnswer struct {
	AccessToken string     `json:"access_token"`
	TokenType   string     `json:"token_type"`
	ExpiresIn   int        `json:"expires_in"`
	ExpiresAt   time.Time  `json:"expires_at"`
	Scope       string     `json:"scope,omitempty"`
	Audience    string     `json:"audience"`
	ServedFrom  servedFrom `json:"served_from"`
	Decision    string     `json:"decision"`
}

// token hands out a token that is bound to nothing.
func (a *API) token(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r.URL.RawQuery, "audience", "scope")
	if err != nil {
		return err
	}
	key := tokenKey{audience: q["audience"], scope: q["scope"]}
	if rt := a.services.audience(key.audience); rt != nil && rt.spec.GetBind() == intercomv1.Bind_BIND_X5T_S256 {
		return fault.Newf(fault.InvalidTarget, "BOUND_TOKEN",
			"tokens for %q are bound to the sidecar's own certificate and of no use elsewhere: call the service through the sidecar, as /%s/, or set bind: none in its service file", clip(key.audience), rt.name())
	}
	got, err := a.tokens.Get(r.Context(), key)
	if err != nil {
		return err
	}
	return a.hand(w, got.Value.decision, tokenAnswer{
		AccessToken: string(got.Value.value.Reveal()),
		TokenType:   "Bearer",
		ExpiresIn:   int(time.Until(got.Expires).Seconds()),
		ExpiresAt:   got.Expires.UTC(),
		Scope:       got.Value.scope,
		Audience:    key.audience,
		ServedFrom:  servedFrom(got.From),
		Decision:    got.Value.decision,
	})
}

type credentialAnswer struct {
	Name    string            `json:"name"`
	Version uint64            `json:"version"`
	Fields  map[string]string `json:"fields"`
	// Binary has the fields that are not text, in base64.
	Binary     map[string][]byte `json:"binary,omitempty"`
	NotAfter   time.Time         `json:"not_after"`
	RenewAfter time.Time         `json:"renew_after,omitzero"`
	ServedFrom servedFrom        `json:"served_from"`
	AgeSeconds int               `json:"age_seconds"`
	Decision   string            `json:"decision"`
}

// credential hands out a leased credential.
func (a *API) credential(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r.URL.RawQuery, "name")
	if err != nil {
		return err
	}
	got, err := a.leases.Get(r.Context(), q["name"])
	if err != nil {
		return err
	}
	answer := credentialAnswer{
		Name: got.Value.name, Version: got.Value.version, Fields: map[string]string{}, Binary: map[string][]byte{},
		NotAfter: got.Expires.UTC(), RenewAfter: got.Value.renew, ServedFrom: servedFrom(got.From),
		AgeSeconds: int(time.Since(got.Fetched).Seconds()), Decision: got.Value.decision,
	}
	for name, value := range got.Value.fields {
		if b := value.Reveal(); utf8.Valid(b) {
			answer.Fields[name] = string(b)
		} else {
			answer.Binary[name] = b
		}
	}
	return a.hand(w, answer.Decision, answer)
}

// hand writes what nobody on the way may keep.
func (a *API) hand(w http.ResponseWriter, decision string, answer any) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(fault.DecisionHeader, decision)
	a.cfg.Metrics.answered(intercomv1.Mode_MODE_UNSPECIFIED, http.StatusOK)
	_ = json.NewEncoder(w).Encode(answer) // who does not read it is gone
	return nil
}

// servedFrom is cache.From in the proto's words.
type servedFrom cache.From

// MarshalText implements encoding.TextMarshaler.
func (f servedFrom) MarshalText() ([]byte, error) {
	return []byte([...]string{cache.Live: "live", cache.Fresh: "cache", cache.Stale: "stale"}[f]), nil
}
