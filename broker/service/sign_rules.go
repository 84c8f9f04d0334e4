package service

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/net/http/httpguts"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/strict"
)

// maxBodyLimit is what a file may ask for: the body stands in memory, once for each request under way.
const maxBodyLimit = 64 << 20

func (s *sigV4) check(n *yaml.Node) error {
	errs := []error{
		checkCredential(strict.Field(n, "credential"), s.Credential),
		checkBodyLimit(strict.Field(n, "body_limit"), s.BodyLimit),
	}
	for key, v := range map[string]string{"region": s.Region, "service": s.Service} {
		if v == "" || len(v) > 64 || strings.ContainsFunc(v, notLabel) { // a slash would move the bounds of the signature's scope
			errs = append(errs, strict.At(strict.Field(n, key), "%s: want lower-case letters, digits and hyphens", key))
		}
	}
	return errors.Join(errs...)
}

func (h *hmac) header() string {
	return cmp.Or(canonicalHeader(h.Header), DefaultSignatureHeader)
}

func (h *hmac) timestamp() string {
	return cmp.Or(canonicalHeader(h.Timestamp), DefaultTimestampHeader)
}

func (h *hmac) check(n *yaml.Node) error {
	errs := []error{
		checkCredential(strict.Field(n, "credential"), h.Credential),
		checkSettable(strict.Field(n, "header"), "header", h.header()),
		checkSettable(strict.Field(n, "timestamp"), "timestamp", h.timestamp()),
		checkPrefix(strict.Field(n, "prefix"), h.Prefix),
		checkBodyLimit(strict.Field(n, "body_limit"), h.BodyLimit),
	}
	if hygiene.SameField(h.header(), h.timestamp()) {
		errs = append(errs, strict.At(n, "hmac: header and timestamp are the same field"))
	}
	at := strict.Field(n, "headers")
	seen := []string{h.header(), h.timestamp()}
	for i, name := range h.Headers {
		errs = append(errs, checkSigned(at.Content[i], name, seen))
		seen = append(seen, name)
	}
	return errors.Join(errs...)
}

// checkSigned refuses to sign what is not there when the request is signed, or is no more when it arrives.
func checkSigned(at *yaml.Node, name string, seen []string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return strict.At(at, "headers: %.64q is not a header's name", name)
	}
	switch canonicalHeader(name) {
	case "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect", "Via", "Forwarded":
		return strict.At(at, "headers: %s is made anew at each hop: the body's hash covers what it says of the body", canonicalHeader(name))
	}
	if slices.ContainsFunc(seen, func(other string) bool { return hygiene.SameField(name, other) }) {
		return strict.At(at, "headers: %.64q is signed already", name)
	}
	return nil
}

func checkBodyLimit(n *yaml.Node, limit *strict.Size) error {
	if limit != nil && (*limit < 1 || *limit > maxBodyLimit) {
		return strict.At(n, "body_limit: want between 1B and 64MiB")
	}
	return nil
}
