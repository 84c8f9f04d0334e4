package service

import (
	"errors"
	"net/textproto"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/net/http/httpguts"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/strict"
)

const (
	authBasic = "basic"
	authPost  = "post"
)

// part is one of the kinds that a file gives, with the header fields that it sets.
type part struct {
	kind   string
	fields []string
	check  func(*yaml.Node) error
}

const fieldAuthorization = "Authorization"

// parts returns the kinds that are given.
func (in *inject) parts() (parts []part) {
	add := func(given bool, kind string, check func(*yaml.Node) error, fields ...string) {
		if given {
			parts = append(parts, part{kind, fields, check})
		}
	}
	add(in.Basic != nil, "basic", in.Basic.check, fieldAuthorization)
	add(in.Bearer != nil, "bearer", in.Bearer.check, fieldAuthorization)
	add(in.OAuth2 != nil, "oauth2", in.OAuth2.check, fieldAuthorization)
	if in.Header != nil {
		add(true, "header", in.Header.check, canonicalHeader(in.Header.Name))
	}
	add(in.Query != nil, "query", in.Query.check)
	add(in.Certificate != nil, "certificate", in.Certificate.check)
	add(in.SigV4 != nil, "sigv4", in.SigV4.check, fieldAuthorization, "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256")
	if in.HMAC != nil {
		add(true, "hmac", in.HMAC.check, in.HMAC.header(), in.HMAC.timestamp())
	}
	return parts
}

func (e *entry) checkInject(n *yaml.Node) error {
	at, parts := strict.Field(n, "inject"), e.Inject.parts()
	errs := []error{checkDuration(strict.Field(at, "stale"), "stale", e.Inject.Stale, 0), collision(at, parts)}
	for _, p := range parts {
		errs = append(errs, p.check(strict.Field(at, p.kind)))
	}
	switch {
	case len(parts) == 0:
		errs = append(errs, strict.At(at, "inject: want one or more of basic, bearer, header, oauth2, query, certificate, sigv4 and hmac"))
	case e.Upstream.URL.IsZero():
		errs = append(errs, strict.At(n, "inject wants an upstream"))
	case e.Inject.Certificate != nil && e.Upstream.URL.Scheme != "https":
		errs = append(errs, strict.At(strict.Field(at, "certificate"), "certificate: want an https upstream, which asks for one"))
	}
	return errors.Join(errs...)
}

// collision refuses kinds that would overwrite each other, and two signatures, since each would have to cover
// the other.
func collision(at *yaml.Node, parts []part) error {
	for i, p := range parts {
		for _, q := range parts[:i] {
			if q.kind == "sigv4" && p.kind == "hmac" {
				return strict.At(strict.Field(at, p.kind), "inject: sigv4 and hmac cannot both be the last to sign: want one of them")
			}
			for _, field := range p.fields {
				if slices.ContainsFunc(q.fields, func(other string) bool { return hygiene.SameField(field, other) }) {
					return strict.At(strict.Field(at, p.kind), "inject: %s and %s both set %s: want one of them", q.kind, p.kind, field)
				}
			}
		}
	}
	return nil
}

func (c *credentialRef) check(n *yaml.Node) error {
	return checkCredential(strict.Field(n, "credential"), c.Credential)
}

func (b *bearer) check(n *yaml.Node) error {
	if (b.Credential != "") == (b.Mint != nil) {
		return strict.At(n, "bearer: want one of credential and mint")
	}
	if b.Mint == nil {
		return checkCredential(strict.Field(n, "credential"), b.Credential)
	}
	at := strict.Field(n, "mint")
	if b.Mint.Audience == "" {
		return strict.At(at, "mint: want an audience")
	}
	return errors.Join(checkAudience(strict.Field(at, "audience"), b.Mint.Audience, "audience"), checkScope(strict.Field(at, "scope"), b.Mint.Scope))
}

func (h *headerRef) check(n *yaml.Node) error {
	return errors.Join(
		checkSettable(strict.Field(n, "name"), "name", h.Name),
		checkPrefix(strict.Field(n, "prefix"), h.Prefix),
		checkCredential(strict.Field(n, "credential"), h.Credential),
	)
}

// checkSettable refuses headers that frame the request or end at the next hop: to inject them would be to
// smuggle.
func checkSettable(at *yaml.Node, key, name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return strict.At(at, "%s: %.64q is not a header's name", key, name)
	}
	name = canonicalHeader(name)
	bad := strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "Sec-") || strings.HasPrefix(name, "X-Forwarded-")
	switch name {
	case "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Forwarded", "Expect", "Via":
		bad = true
	}
	if bad {
		return strict.At(at, "%s: %s is not for services to set", key, name)
	}
	return nil
}

func checkPrefix(at *yaml.Node, prefix string) error {
	if !httpguts.ValidHeaderFieldValue(prefix) || len(prefix) > 64 {
		return strict.At(at, "prefix: want at most 64 printable characters")
	}
	return nil
}

func canonicalHeader(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }

func (q *queryRef) check(n *yaml.Node) error {
	bad := strings.ContainsFunc(q.Name, func(r rune) bool { return notWord(r) && !strings.ContainsRune("-.$", r) })
	if q.Name == "" || bad || len(q.Name) > 64 {
		return strict.At(strict.Field(n, "name"), "name: want a parameter's name of up to 64 letters, digits and any of -_.$")
	}
	return checkCredential(strict.Field(n, "credential"), q.Credential)
}

func notWord(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r == '-' || notLabel(r)) }

func (o *oauth2) check(n *yaml.Node) error {
	errs := []error{
		checkCredential(strict.Field(n, "credential"), o.Credential),
		checkScope(strict.Field(n, "scope"), o.Scope),
		checkDial(strict.Field(n, "dial"), o.Dial),
	}
	if o.TokenURL.Scheme != "https" && !o.TokenURL.IsZero() { // RFC 6749, section 3.2
		errs = append(errs, strict.At(strict.Field(n, "token_url"), "token_url: want https: the client's secret is sent there"))
	}
	if a := o.Auth; a != "" && a != authBasic && a != authPost {
		errs = append(errs, strict.At(strict.Field(n, "auth"), "auth: want basic or post, got %.64q", a))
	}
	for name := range o.Params {
		switch name {
		case "", "grant_type", "scope", "client_id", "client_secret", "audience", "resource":
			errs = append(errs, strict.At(strict.Field(strict.Field(n, "params"), name), "params: %.64q is not for params to set", name))
		}
	}
	return errors.Join(errs...)
}
