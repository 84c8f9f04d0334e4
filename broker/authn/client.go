package authn

import (
	"context"
	"crypto/tls"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/secret"
)

// The types of assertions that a JWT-SVID may come as. The first is its own
// (draft-ietf-oauth-spiffe-client-auth, section 3.1); the second is what clients send that know RFC 7523,
// section 2.2, and no SPIFFE. Both are verified alike.
const (
	AssertionJWTSVID = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
	AssertionJWT     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// ClientProof is what an OAuth client shows of who it is.
type ClientProof struct {
	// TLS is the connection, made with one of package mtls's configurations; nil where there is no TLS, and
	// then only an assertion counts.
	TLS *tls.ConnectionState
	// ID is the client_id that it says; empty when it says none.
	ID string
	// AssertionType and Assertion are RFC 7521's, section 4.2; empty when there is none.
	AssertionType string
	Assertion     secret.Value
}

// Client returns the workload that an OAuth client is: by its certificate (RFC 8705, section 2.1; the
// SAN is its SPIFFE ID), by a JWT-SVID, or by both when they name the same workload. With both it is the
// certificate that tokens are bound to, and the earlier of the two ends that counts.
func (v *Verifier) Client(ctx context.Context, p ClientProof) (identity.Principal, error) {
	who, err := certified(p.TLS)
	if err != nil {
		return identity.Principal{}, err
	}
	if !p.Assertion.IsZero() || p.AssertionType != "" {
		asserted, err := v.asserted(ctx, p)
		if err != nil {
			return identity.Principal{}, err
		}
		if who, err = same(who, asserted); err != nil {
			return identity.Principal{}, err
		}
	}
	switch {
	case who.IsZero():
		return identity.Principal{}, unauthenticated("a client certificate or a JWT-SVID is required")
	case p.ID != "" && p.ID != who.Subject():
		return identity.Principal{}, unauthenticated("the client_id is not the SPIFFE ID that was proven")
	}
	return who, nil
}

// certified returns nobody where the client showed no certificate.
func certified(state *tls.ConnectionState) (identity.Principal, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return identity.Principal{}, nil
	}
	return FromTLS(*state)
}

func (v *Verifier) asserted(ctx context.Context, p ClientProof) (identity.Principal, error) {
	switch {
	case p.Assertion.IsZero() || p.AssertionType == "":
		return identity.Principal{}, fault.New(fault.InvalidRequest, "", "client_assertion and client_assertion_type come together or not at all")
	case p.AssertionType != AssertionJWTSVID && p.AssertionType != AssertionJWT:
		return identity.Principal{}, unauthenticated("a client_assertion is a JWT-SVID here, and its type jwt-spiffe or jwt-bearer")
	}
	return v.FromJWTSVID(ctx, string(p.Assertion.Reveal()))
}

// same joins two proofs of one workload.
func same(certified, asserted identity.Principal) (identity.Principal, error) {
	switch {
	case certified.IsZero():
		return asserted, nil
	case certified.Workload.ID != asserted.Workload.ID:
		return identity.Principal{}, unauthenticated("the certificate and the JWT-SVID name different workloads")
	}
	if asserted.Workload.NotAfter.Before(certified.Workload.NotAfter) {
		certified.Workload.NotAfter = asserted.Workload.NotAfter
	}
	return certified, nil
}
