package exchange

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// maxForm bounds a request's body: two tokens, an assertion, and room.
const maxForm = 64 << 10

const formType = "application/x-www-form-urlencoded"

// form is a request's body. A parameter without a value is none (RFC 6749, section 3.2).
type form map[string][]string

// readForm reads the body and nothing else: what stands in a query ends up in logs, and RFC 6749,
// section 2.3.1, and RFC 7662, section 2.1, keep credentials and tokens out of it.
func readForm(w http.ResponseWriter, r *http.Request) (form, error) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return nil, invalid("parameters are sent in the body, not in the query")
	}
	if err := checkFormType(r.Header); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, fault.New(fault.TooLarge, "", "a form of at most 64 KiB is read").Because(err)
	} else if err != nil {
		return nil, fault.New(fault.InvalidRequest, "", "the body ended early").Because(err)
	}
	return parseForm(string(body))
}

func checkFormType(h http.Header) error {
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return invalid("one Content-Type is required: %s", formType)
	}
	kind, params, err := mime.ParseMediaType(values[0])
	charset, named := params["charset"]
	switch {
	case err != nil || kind != formType:
		return invalid("the Content-Type is not %s", formType)
	case named && !strings.EqualFold(charset, "utf-8"): // RFC 6749, appendix B
		return invalid("a form is in UTF-8")
	case h.Get("Content-Encoding") != "":
		return invalid("the body is encoded")
	}
	return nil
}

// parseForm refuses what two readers could read differently: a parameter that is there twice (RFC 6749,
// section 3.2), but for the two that may be (RFC 8693, section 2.1), and bytes that are no text.
func parseForm(body string) (form, error) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, fault.New(fault.InvalidRequest, "", "the form cannot be read").Because(err)
	}
	for name, all := range values {
		if len(all) > 1 && name != "resource" && name != "audience" {
			return nil, invalid("a parameter is there more than once")
		}
		for _, text := range append(all, name) {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				return nil, invalid("a parameter has bytes that are no printable text")
			}
		}
	}
	return form(values), nil
}

// all returns the values that are not empty.
func (f form) all(name string) (values []string) {
	for _, v := range f[name] {
		if v != "" {
			values = append(values, v)
		}
	}
	return values
}

// one returns the value, and "" where there is none.
func (f form) one(name string) string {
	if all := f.all(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (f form) secret(name string) secret.Value { return secret.FromString(f.one(name)) }

// token is the one that is asked about (RFC 7662, section 2.1; RFC 7009, section 2.1). The hint beside it
// helps servers that have several sorts.
func (f form) token() (string, error) {
	raw := f.one("token")
	if raw == "" {
		return "", invalid("the token is missing")
	}
	return raw, nil
}

// proof is what the client shows of who it is. A client_secret is refused and not passed over: the client
// thinks that it counts, and RFC 6749, section 2.3, allows one method at a time.
func (f form) proof(r *http.Request) (authn.ClientProof, error) {
	if r.Header.Get("Authorization") != "" || f.one("client_secret") != "" {
		return authn.ClientProof{}, fault.New(fault.Unauthenticated, "", "clients have no secret here: a client certificate or a JWT-SVID is required")
	}
	return authn.ClientProof{
		TLS: r.TLS, ID: f.one("client_id"), AssertionType: f.one("client_assertion_type"), Assertion: f.secret("client_assertion"),
	}, nil
}
