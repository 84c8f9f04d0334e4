package openid

import (
	"errors"
	"net/http"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/dpop"
)

// possession returns the thumbprint of the key that a token request proves, and nothing where it proves none
// (RFC 9449, section 5). A proof is good once.
func (p *Provider) possession(r *http.Request, c *Client) (string, error) {
	proofs := r.Header.Values(dpop.Header)
	switch {
	case len(proofs) == 0 && !c.DPoP:
		return "", nil
	case len(proofs) != 1:
		return "", refuse("invalid_dpop_proof", "DPoP proof is missing, or there are several")
	}
	now := p.cfg.Now()
	got, err := dpop.Check(proofs[0], dpop.Use{Method: http.MethodPost, URL: p.URL(PathToken), Nonce: p.cfg.Nonce, Now: now})
	if errors.Is(err, dpop.ErrNonce) {
		return "", refuse("use_dpop_nonce", "Authorization server requires nonce in DPoP proof")
	}
	if err != nil {
		return "", refuse("invalid_dpop_proof", "DPoP proof is not valid")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, again := p.seen["dpop "+got.JTI]; again {
		return "", refuse("invalid_dpop_proof", "DPoP proof has already been used")
	}
	p.seen["dpop "+got.JTI] = now.Add(proofLife)
	return got.Thumbprint, nil
}

// bound is who holds a key, as an access token says it (section 6.1).
func bound(claims map[string]any, thumbprint string) {
	if thumbprint != "" {
		claims["cnf"] = map[string]string{"jkt": thumbprint}
	}
}

// proofLife is longer than a proof is good for.
const proofLife = 2 * time.Minute

// tokenType is how a token is to be used.
func tokenType(thumbprint string) string {
	if thumbprint == "" {
		return "Bearer"
	}
	return "DPoP"
}
