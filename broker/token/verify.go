package token

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/fault"
)

// The reasons for which a token is refused. All but the last are fault.Unauthenticated.
const (
	ReasonMissing = "TOKEN_MISSING"
	ReasonInvalid = "TOKEN_INVALID"
	ReasonExpired = "TOKEN_EXPIRED"
	ReasonBound   = "TOKEN_BOUND_TO_ANOTHER"
	ReasonScope   = "TOKEN_SCOPE" // with fault.Denied
)

// KeySource finds an issuer's public key by its kid. An unknown kid is fault.NotFound; fault.Unavailable
// means that the keys cannot be had now.
type KeySource interface {
	Key(ctx context.Context, kid string) (crypto.PublicKey, error)
}

// Verifier checks tokens for one service. Its zero value refuses every token.
type Verifier struct {
	// Issuer is the only issuer whose tokens count; required.
	Issuer string
	// Audience is the service's own name; required.
	Audience string
	// Keys finds the issuer's public keys; required.
	Keys KeySource
	// Leeway is how far clocks may be apart; 0 means 30 s.
	Leeway time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verify returns what the token says if it is the issuer's, meant for this service, and alive. peer is the
// certificate with which the connection was made that brought it, nil when there was none: a token that
// is bound to another certificate is refused (RFC 8705, section 3).
func (v *Verifier) Verify(ctx context.Context, raw string, peer *x509.Certificate) (Claims, error) {
	c, err := v.VerifyWithoutPossession(ctx, raw)
	if err != nil {
		return Claims{}, err
	}
	if c.Confirmation != "" && (peer == nil || Thumbprint(peer) != c.Confirmation) {
		return Claims{}, fault.New(fault.Unauthenticated, ReasonBound, "the token is bound to a certificate that this connection was not made with")
	}
	return c, nil
}

// VerifyWithoutPossession is Verify without the look at the certificate. It is for who examines a token
// that somebody else holds, such as the subject token of an exchange: it proves what was said, not
// that its bringer is the one of whom it was said.
func (v *Verifier) VerifyWithoutPossession(ctx context.Context, raw string) (Claims, error) {
	if v.Issuer == "" || v.Audience == "" || v.Keys == nil {
		return Claims{}, fault.New(fault.Internal, "", "tokens cannot be verified").Because(errors.New("token: the Verifier lacks an issuer, an audience or keys"))
	}
	if len(raw) > MaxBytes || strings.Trim(raw, compact) != "" {
		return Claims{}, invalid(fmt.Errorf("its %d bytes are no compact JWS", len(raw)))
	}
	w, err := v.parse(ctx, raw)
	if err != nil {
		return Claims{}, err
	}
	if err := v.validator().Validate(w); errors.Is(err, jwt.ErrTokenExpired) {
		return Claims{}, fault.New(fault.Unauthenticated, ReasonExpired, "the token has expired").Because(err)
	} else if err != nil {
		return Claims{}, invalid(err)
	}
	c, err := w.claims()
	if err != nil {
		return Claims{}, invalid(err)
	}
	return c, nil
}

// compact are the bytes of a JWS in compact form (RFC 7515, section 7.1). Go's base64 passes over line
// breaks, also where it is strict.
const compact = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// parse returns the payload of a token whose signature is good. golang-jwt must not look at the claims
// itself: a payload of `null` takes its pointer to them away.
func (v *Verifier) parse(ctx context.Context, raw string) (*wire, error) {
	var keyErr error
	w := &wire{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "EdDSA"}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(raw, w, func(t *jwt.Token) (any, error) {
		var key crypto.PublicKey
		key, keyErr = v.key(ctx, t.Header)
		return key, keyErr
	})
	switch {
	case keyErr != nil:
		return nil, keyErr
	case err != nil:
		return nil, invalid(err)
	}
	return w, nil
}

// key returns the key for a token, from its header alone, which nobody has vouched for yet.
func (v *Verifier) key(ctx context.Context, header map[string]any) (crypto.PublicKey, error) {
	typ, _ := header["typ"].(string)
	kid, _ := header["kid"].(string)
	_, critical := header["crit"]
	switch {
	case typ != Type && typ != "application/"+Type:
		return nil, invalid(errors.New("its typ is not " + Type))
	case critical:
		return nil, invalid(errors.New("it has critical extensions"))
	case kid == "" || len(kid) > 256:
		return nil, invalid(errors.New("it has no kid that could be one"))
	}
	key, err := v.Keys.Key(ctx, kid)
	if errors.Is(err, fault.NotFound) {
		return nil, invalid(err)
	} else if err != nil {
		return nil, err
	}
	if alg := algorithm(key); alg == "" || header["alg"] != alg {
		return nil, invalid(fmt.Errorf("its key is for %q", alg))
	}
	return key, nil
}

// algorithm returns the one that a key is for, and "" for keys that we do not sign with. A secret, which
// would make a MAC of what should be a signature, is none.
func algorithm(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return "ES256"
		}
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize {
			return "EdDSA"
		}
	}
	return ""
}

func (v *Verifier) validator() *jwt.Validator {
	now := v.Now
	if now == nil {
		now = time.Now
	}
	return jwt.NewValidator(
		jwt.WithIssuer(v.Issuer), jwt.WithAudience(v.Audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(cmp.Or(v.Leeway, 30*time.Second)), jwt.WithTimeFunc(now),
	)
}

// invalid keeps the reason for the log: who forges tokens need not learn how close they came.
func invalid(cause error) *fault.Error {
	return fault.New(fault.Unauthenticated, ReasonInvalid, "the token is not valid here").Because(cause)
}
