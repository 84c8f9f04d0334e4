package provider

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Claims is what a verified ID token says.
type Claims struct {
	Issuer, Subject string
	// SID is the provider's session (OpenID Connect Back-Channel Logout 1.0, section 2.1); empty if it has none.
	SID string
	// ACR and AMR are how the user proved who they are, AuthTime is when; all may be missing.
	ACR      string
	AMR      []string
	AuthTime time.Time
	// IssuedAt and Expiry are the ID token's own.
	IssuedAt, Expiry time.Time

	notBefore                    time.Time
	nonce, accessHash, algorithm string
	raw                          []byte
}

// Decode unmarshals all claims into v, for those of the user: name, groups.
func (c Claims) Decode(v any) error {
	if c.raw == nil {
		return errors.New("provider: no claims")
	}
	return json.Unmarshal(c.raw, v)
}

// Keep returns those of names that the ID token has, and the user's groups: what the claim of that name lists, and
// none where it is no list.
func (c Claims) Keep(names []string, groups string) (kept map[string]json.RawMessage, in []string, err error) {
	var all map[string]json.RawMessage
	if err := c.Decode(&all); err != nil {
		return nil, nil, err
	}
	kept = map[string]json.RawMessage{}
	for _, name := range names {
		if v, ok := all[name]; ok {
			kept[name] = v
		}
	}
	if json.Unmarshal(all[groups], &in) != nil {
		in = nil
	}
	return kept, in, nil
}

// The reasons for which an ID token is refused.
const (
	ReasonID    = "ID_TOKEN_INVALID"
	ReasonAge   = "LOGIN_TOO_OLD" // with fault.Denied: auth_time is not as asked for
	ReasonLevel = "LOGIN_LEVEL"   // with fault.Denied: acr is not as asked for
)

// badID is InvalidGrant: after a refresh it ends the session, since nobody knows whose the new tokens are.
func badID(cause error) *fault.Error {
	return fault.New(fault.InvalidGrant, ReasonID, "the login provider's ID token is not valid").Because(cause)
}

// caught keeps the error of the key set, of which go-oidc passes on the text only.
type caught struct {
	*keys
	err error
}

// VerifySignature implements oidc.KeySet.
func (c *caught) VerifySignature(ctx context.Context, raw string) (payload []byte, err error) {
	payload, c.err = c.keys.verify(ctx, raw)
	return payload, c.err
}

// verifier is go-oidc's. It knows no skew, so its clock is behind by what we allow. own says that the token came in answer to
// a call of ours; its end is checkTimes' matter.
func (p *Provider) verifier(r *ready, own bool) (*oidc.IDTokenVerifier, *caught) {
	c := &caught{keys: r.keys}
	return oidc.NewVerifier(r.Issuer, c, &oidc.Config{
		ClientID: p.cfg.ClientID, SupportedSigningAlgs: r.algorithms(p.cfg), Now: p.past, SkipExpiryCheck: own,
	}), c
}

// compact are the bytes of a JWS in compact form (RFC 7515, section 7.1): go-jose would read the JSON form,
// which has room for more than one meaning, and base64 with line breaks.
const compact = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

func wellFormed(raw string) error {
	if raw == "" || len(raw) > maxToken || strings.Trim(raw, compact) != "" {
		return fmt.Errorf("its %d bytes are no compact JWS", len(raw))
	}
	return nil
}

// verifyID does what OpenID Connect Core 1.0, section 3.1.3.7 asks for, but for what belongs to one login, and for the
// times, which are [Claims.checkTimes]'s.
func (p *Provider) verifyID(ctx context.Context, r *ready, raw string) (Claims, error) {
	if err := wellFormed(raw); err != nil {
		return Claims{}, badID(err)
	}
	verifier, keys := p.verifier(r, true)
	token, err := verifier.Verify(ctx, raw)
	if f, ok := errors.AsType[*fault.Error](keys.err); ok {
		return Claims{}, f
	} else if unknown, ok := errors.AsType[*unknownKeyError](keys.err); ok {
		return Claims{}, badID(unknown)
	} else if err != nil {
		return Claims{}, badID(err)
	}
	var more struct {
		NBF      float64         `json:"nbf"`
		SID      string          `json:"sid"`
		ACR      string          `json:"acr"`
		AMR      []string        `json:"amr"`
		AuthTime *float64        `json:"auth_time"`
		AZP      string          `json:"azp"`
		Events   json.RawMessage `json:"events"`
		raw      json.RawMessage
	}
	if err := errors.Join(token.Claims(&more), token.Claims(&more.raw)); err != nil {
		return Claims{}, badID(err)
	}
	switch {
	case token.Subject == "" || len(token.Subject) > 255: // section 2
		return Claims{}, badID(errors.New("no sub, or one that is too long"))
	case len(token.Audience) > 1 && more.AZP == "", more.AZP != "" && more.AZP != p.cfg.ClientID:
		return Claims{}, badID(fmt.Errorf("issued to %q, for %q", more.AZP, token.Audience))
	case token.IssuedAt.Unix() <= 0:
		return Claims{}, badID(fmt.Errorf("issued at %v", token.IssuedAt))
	case more.Events != nil: // go-oidc takes a logout token for an ID token
		return Claims{}, badID(errors.New("a logout token"))
	}
	c := Claims{
		Issuer: token.Issuer, Subject: token.Subject, SID: more.SID, ACR: more.ACR, AMR: more.AMR, IssuedAt: token.IssuedAt, Expiry: token.Expiry,
		notBefore: time.Unix(int64(more.NBF), 0), nonce: token.Nonce, accessHash: token.AccessTokenHash, algorithm: algorithm(raw), raw: more.raw,
	}
	if more.AuthTime != nil {
		c.AuthTime = time.Unix(int64(*more.AuthTime), 0)
	}
	return c, nil
}

// checkTimes wants an ID token that counts now (section 3.1.3.7, items 9 and 10). One that is fresh and does not was made
// by another clock.
func (c *Claims) checkTimes(now time.Time) error {
	const clocks = "it is %s here: is a clock wrong?"
	switch here := now.UTC().Format(time.RFC3339); {
	case c.Expiry.Before(now.Add(-skew)):
		return badID(fmt.Errorf("it ended at %s, and "+clocks, c.Expiry.UTC().Format(time.RFC3339), here))
	case c.IssuedAt.After(now.Add(skew)), c.notBefore.After(now.Add(skew)):
		return badID(fmt.Errorf("it was issued at %s, and "+clocks, c.IssuedAt.UTC().Format(time.RFC3339), here))
	}
	return nil
}

// check holds an ID token to the login that asked for it.
func (c *Claims) check(tx Transaction, access string, now time.Time) error {
	if err := c.checkTimes(now); err != nil {
		return err
	}
	nonce := tx.Nonce.Reveal()
	switch {
	case len(nonce) == 0 || subtle.ConstantTimeCompare([]byte(c.nonce), nonce) != 1:
		return badID(errors.New("the nonce is not the transaction's"))
	case c.accessHash != "" && c.accessHash != halfHash(c.algorithm, access):
		return badID(errors.New("at_hash is another access token's"))
	case len(tx.ACR) > 0 && !slices.Contains(tx.ACR, c.ACR):
		return fault.Newf(fault.Denied, ReasonLevel, "the login does not reach the level that is needed")
	}
	return c.checkAge(tx, now)
}

// checkAge: a provider that was asked for an age must say one (section 2), and the RP must look at it
// (section 3.1.2.1).
func (c *Claims) checkAge(tx Transaction, now time.Time) error {
	oldest := now.Add(-tx.MaxAge)
	switch {
	case tx.Prompt == "login":
		oldest = tx.Started
	case tx.MaxAge == 0:
		return nil
	}
	if c.AuthTime.Before(oldest.Add(-skew)) { // one that is missing is the oldest of all
		return fault.New(fault.Denied, ReasonAge, "the login is too long ago")
	}
	return nil
}

// follows holds the ID token of a refresh to what is known (section 12.2). A changed auth_time is let pass:
// who logs in again in a living session renews it.
func (c *Claims) follows(held Claims) error {
	switch {
	case held.Subject != "" && (c.Subject != held.Subject || c.Issuer != held.Issuer):
		return badID(errors.New("a refresh brought another user's ID token"))
	case c.nonce != "" && held.nonce != "" && c.nonce != held.nonce:
		return badID(errors.New("a refresh brought another login's ID token"))
	}
	return nil
}

// algorithm returns the one of a token that was verified.
func algorithm(raw string) string {
	var header struct {
		Alg string `json:"alg"`
	}
	head, _, _ := strings.Cut(raw, ".")
	data, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || json.Unmarshal(data, &header) != nil {
		return ""
	}
	return header.Alg
}

// halfHash is at_hash (section 3.1.3.6): the left half of the hash that the algorithm uses.
func halfHash(algorithm, access string) string {
	var h hash.Hash
	switch {
	case strings.HasSuffix(algorithm, "384"):
		h = sha512.New384()
	case strings.HasSuffix(algorithm, "512"), algorithm == "EdDSA":
		h = sha512.New()
	default:
		h = sha256.New()
	}
	_, _ = h.Write([]byte(access))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
}
