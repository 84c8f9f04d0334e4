package dpop

import (
	"crypto/ecdsa"
	"encoding/json"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Proven is what a good proof says.
type Proven struct {
	// Thumbprint is the key's, which a token that is bound to it has as cnf.jkt.
	Thumbprint string
	// JTI is the proof's name. A server accepts each once.
	JTI string
}

// The refusals of [Check].
const (
	// ErrProof is a proof that is not good.
	ErrProof Error = "dpop: the proof is not good"
	// ErrNonce is a good proof without the nonce that is wanted (section 8).
	ErrNonce Error = "dpop: the proof has not the nonce that is wanted"
)

const (
	// maxAge is how old a proof may be, and skew how far ahead (section 11.1).
	maxAge = time.Minute
	skew   = 5 * time.Second
	// maxProof bounds what is read.
	maxProof = 4 << 10
)

// claims are a proof's.
type claims struct {
	JTI   string `json:"jti"`
	HTM   string `json:"htm"`
	HTU   string `json:"htu"`
	IAT   int64  `json:"iat"`
	ATH   string `json:"ath"`
	Nonce string `json:"nonce"`
	jwt.Claims
}

// UnmarshalJSON implements [json.Unmarshaler], which the embedded interface would get in the way of.
func (c *claims) UnmarshalJSON(data []byte) error {
	type plain claims
	return json.Unmarshal(data, (*plain)(c))
}

// Check verifies that a proof is one for that use (section 4.3).
func Check(proof string, u Use) (Proven, error) {
	if len(proof) > maxProof {
		return Proven{}, ErrProof
	}
	var c claims
	var jwk jose.JSONWebKey
	key := func(t *jwt.Token) (any, error) {
		raw, err := json.Marshal(t.Header["jwk"])
		if err != nil || t.Header["typ"] != typ || jwk.UnmarshalJSON(raw) != nil || !jwk.IsPublic() {
			return nil, ErrProof
		}
		public, ok := jwk.Key.(*ecdsa.PublicKey)
		if !ok {
			return nil, ErrProof
		}
		return public, nil
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{Algorithm}), jwt.WithoutClaimsValidation())
	if _, err := parser.ParseWithClaims(proof, &c, key); err != nil || !c.fits(u) {
		return Proven{}, ErrProof
	}
	if c.Nonce != u.Nonce {
		return Proven{}, ErrNonce
	}
	return Proven{thumbprint(jwk), c.JTI}, nil
}

func (c *claims) fits(u Use) bool {
	htu, err := u.htu()
	issued := time.Unix(c.IAT, 0)
	return err == nil && c.JTI != "" && c.HTM == u.Method && c.HTU == htu && (u.Token == "" || c.ATH == u.ath()) &&
		u.Now.Sub(issued) <= maxAge && issued.Sub(u.Now) <= skew
}
