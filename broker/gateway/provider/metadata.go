package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
)

// Metadata is what a provider says of itself (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2). An empty
// field is one that it does not announce.
type Metadata struct {
	// Issuer is the provider's name, byte for byte as configured.
	Issuer string `json:"issuer"`
	// Authorization, Token and JWKS are the endpoints that each provider has.
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	JWKS          string `json:"jwks_uri"`
	// EndSession, Revocation and PAR are those that not each has.
	EndSession string `json:"end_session_endpoint"`
	Revocation string `json:"revocation_endpoint"`
	PAR        string `json:"pushed_authorization_request_endpoint"`
	// RequirePAR: authorization requests that were not pushed are refused (RFC 9126, section 5).
	RequirePAR bool `json:"require_pushed_authorization_requests"`
	// IssInAnswer: answers name their issuer (RFC 9207, section 3).
	IssInAnswer bool `json:"authorization_response_iss_parameter_supported"`
	// BackChannel and BackChannelSID: logout tokens are sent, and name the session (OpenID Connect Back-Channel
	// Logout 1.0, section 2.1).
	BackChannel    bool `json:"backchannel_logout_supported"`
	BackChannelSID bool `json:"backchannel_logout_session_supported"`
	// FrontChannel: frames end sessions (OpenID Connect Front-Channel Logout 1.0, section 3).
	FrontChannel bool `json:"frontchannel_logout_supported"`
	// ResponseTypes, Challenges, Grants, Algorithms, AuthMethods and AuthAlgorithms are what it takes, or signs with.
	ResponseTypes  []string `json:"response_types_supported"`
	Challenges     []string `json:"code_challenge_methods_supported"`
	Grants         []string `json:"grant_types_supported"`
	Algorithms     []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods    []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	DPoPAlgorithms []string `json:"dpop_signing_alg_values_supported"`
}

// ready is a provider whose metadata are known.
type ready struct {
	Metadata
	keys   *keys
	method string // of client authentication
}

// mismatch is what no retry mends: the address answers as somebody else, or cannot do what we need.
func mismatch(format string, args ...any) *fault.Error {
	return fault.Newf(fault.InvalidRequest, "PROVIDER_MISMATCH", format, args...)
}

func parseMetadata(data []byte, cfg Config) (Metadata, error) {
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return m, mismatch("the provider's metadata cannot be read").Because(err)
	}
	if m.Issuer != cfg.Issuer { // OpenID Connect Discovery 1.0, section 4.3
		return m, mismatch("the provider at %q says that it is %q", cfg.Issuer, m.Issuer)
	}
	return m, m.check(cfg)
}

func (m *Metadata) check(cfg Config) error {
	needed := map[string]string{"authorization_endpoint": m.Authorization, "token_endpoint": m.Token, "jwks_uri": m.JWKS}
	for name, address := range map[string]string{
		"end_session_endpoint": m.EndSession, "revocation_endpoint": m.Revocation, "pushed_authorization_request_endpoint": m.PAR,
	} {
		if address != "" {
			needed[name] = address
		}
	}
	for name, address := range needed {
		if err := checkURL(name, address); err != nil {
			return mismatch("the provider's metadata are of no use").Because(err)
		}
	}
	switch {
	case len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code"):
		return mismatch("the provider has no code flow")
	case len(m.Challenges) > 0 && !slices.Contains(m.Challenges, "S256"): // RFC 9700, section 2.1.1
		return mismatch("the provider has no PKCE with S256")
	case (cfg.PAR || m.RequirePAR) && m.PAR == "":
		return mismatch("authorization requests are to be pushed, and the provider has nowhere to push them")
	case cfg.DPoP && !slices.Contains(m.DPoPAlgorithms, dpop.Algorithm): // RFC 9449, section 5.1
		return mismatch("tokens are to be bound to a key, and the provider announces no DPoP with %s", dpop.Algorithm)
	case len(m.algorithms(cfg)) == 0:
		return mismatch("the provider signs with nothing that is accepted, but %s", strings.Join(m.Algorithms, ", "))
	}
	return nil
}

// algorithms are those that count, never one that only the token itself speaks for.
func (m *Metadata) algorithms(cfg Config) []string {
	if len(cfg.Algorithms) > 0 {
		return cfg.Algorithms
	}
	if len(m.Algorithms) == 0 {
		return []string{oidc.RS256} // OpenID Connect Core 1.0, section 15.1
	}
	return slices.DeleteFunc(slices.Clone(m.Algorithms), func(alg string) bool { return !slices.Contains(asymmetric(), alg) })
}

// discover fetches the metadata and makes ready what stands on them.
func (p *Provider) discover(ctx context.Context) (*ready, error) {
	address := p.metadataURL()
	got, err := p.get(ctx, address)
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, unavailable(fmt.Errorf("%s answered %d", address, got.status))
	}
	m, err := parseMetadata(got.body, p.cfg)
	if err != nil {
		return nil, err
	}
	method, err := p.cfg.Auth.choose(m.AuthMethods)
	if err != nil {
		return nil, err
	}
	k := newKeys(m.JWKS, p.cfg.KeyInterval, p.get, p.cfg.Now)
	return &ready{Metadata: m, keys: k, method: method}, nil
}

// metadataURL is where OpenID Connect Discovery 1.0, section 4 puts them.
func (p *Provider) metadataURL() string {
	return strings.TrimSuffix(p.cfg.Issuer, "/") + "/.well-known/openid-configuration"
}

func unavailable(cause error) *fault.Error {
	e := fault.New(fault.Unavailable, ReasonAway, "the login provider does not answer").Because(cause)
	e.RetryAfter = silentLife
	return e
}

// final reports whether asking the provider again will not help.
func final(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Reason == "PROVIDER_MISMATCH"
}
