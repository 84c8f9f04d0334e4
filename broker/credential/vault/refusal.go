package vault

import (
	"errors"
	"fmt"

	"github.com/intercom-broker/intercom/broker/fault"
)

// refused makes one reason of every way in which Vault says no, and adds the cure where its words are
// known. An outage stays what it is; that Vault cannot fetch the keys which it would judge us by is one
// too, though it says so in a 400.
func (s *session) refused(err error) error {
	a, answered := errors.AsType[*answer](err)
	if fault.KindOf(err) != fault.Internal && !(answered && a.says(noName)) {
		return err
	}
	cause := err
	if answered {
		cause = a
		if cure := s.cure(a); cure != "" {
			cause = fmt.Errorf("%w (%s)", a, cure)
		}
		if a.says("fetching keys") {
			return outage(ReasonNoKeys, "the credential store cannot tell who the broker is", 0, cause)
		}
	}
	return final(ReasonLoginRefused, "the credential store does not let the broker in", cause)
}

// noName is Vault's answer to a certificate without a common name. It comes as a 500, and is a refusal.
const noName = "missing name in alias"

// cure says what to do about the refusals that are met in practice.
func (s *session) cure(a *answer) string {
	switch {
	case a.says(noName):
		return "the SVID has no common name: give the broker's SPIRE entry a -dns name, or log in by jwt"
	case a.says("audience"):
		return fmt.Sprintf("bound_audiences of the role must have %q", s.cfg.Auth.Audience)
	case a.says("subject (sub)", "bound_subject"):
		return "bound_subject of the role must be the broker's SPIFFE ID"
	case a.says("signature", "key"):
		return "jwks_url of auth/" + s.cfg.Auth.Mount + "/config must give the trust domain's keys"
	case a.says("role"):
		return fmt.Sprintf("there must be a role %q in auth/%s", s.cfg.Auth.Role, s.cfg.Auth.Mount)
	case a.says("permission denied", "no handler", "unsupported path"):
		return fmt.Sprintf("is %s enabled at auth/%s, and in which namespace?", s.cfg.Auth.Method, s.cfg.Auth.Mount)
	default:
		return ""
	}
}
