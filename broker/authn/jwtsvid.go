package authn

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"golang.org/x/time/rate"

	"github.com/intercom-broker/intercom/broker/identity"
)

const (
	maxToken = 16 << 10
	maxLife  = 5 * time.Minute
	skew     = 30 * time.Second
)

// Config is which JWT-SVIDs count.
type Config struct {
	// Domains are the trust domains that are allowed by name; empty means none.
	Domains []spiffeid.TrustDomain
	// JWTBundles has their JWT authorities; required.
	JWTBundles jwtbundle.Source
	// Audience is us: the one audience that a JWT-SVID must name; required.
	Audience string
	// Now is the clock; nil means time.Now. Signatures are verified by go-spiffe, which looks at the real
	// one too.
	Now func() time.Time
	// Logger is told, at a bounded rate, who was refused; nil means nobody is.
	Logger *slog.Logger
	// Metrics counts what was accepted and refused; nil means nobody does.
	Metrics *Metrics
}

// Verifier verifies JWT-SVIDs. It is safe for concurrent use.
type Verifier struct {
	cfg   Config
	limit *rate.Limiter
}

// New returns a Verifier.
func New(cfg Config) (*Verifier, error) {
	if cfg.JWTBundles == nil || cfg.Audience == "" {
		return nil, errors.New("authn: verifying JWT-SVIDs needs bundles and an audience")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Verifier{cfg: cfg, limit: rate.NewLimiter(5, 20)}, nil
}

// FromJWTSVID returns the workload that the token names, if the token proves it to us.
func (v *Verifier) FromJWTSVID(ctx context.Context, token string) (identity.Principal, error) {
	svid, why, err := v.verify(token)
	if err != nil {
		v.refused(ctx, why, err)
		return identity.Principal{}, unauthenticated("the JWT-SVID is not valid here").Because(err)
	}
	v.cfg.Metrics.verified("ok")
	return identity.Principal{Workload: identity.Workload{ID: svid.ID, Proof: identity.ByJWTSVID, NotAfter: svid.Expiry}}, nil
}

// The reasons of a refusal: labels of the metrics.
const (
	malformed     = "malformed"
	foreignDomain = "foreign_domain"
	invalid       = "invalid" // the signature, or the key is unknown
	audience      = "audience"
	outOfTime     = "time"
)

func (v *Verifier) verify(token string) (*jwtsvid.SVID, string, error) {
	if err := checkForm(token); err != nil {
		return nil, malformed, err
	}
	keys := &allowedKeys{cfg: v.cfg}
	svid, err := jwtsvid.ParseAndValidate(token, keys, []string{v.cfg.Audience})
	switch {
	case !keys.refused.IsZero():
		return nil, foreignDomain, &foreignError{keys.refused}
	case err != nil:
		return nil, invalid, err
	case svid.ID.Path() == "":
		return nil, invalid, fmt.Errorf("%s names a trust domain, not a workload", svid.ID)
	case !slices.Equal(svid.Audience, []string{v.cfg.Audience}):
		// go-spiffe is content when we are among them. Whoever else is could use the token here.
		return nil, audience, fmt.Errorf("the audience is %q, want %q alone", svid.Audience, v.cfg.Audience)
	}
	if err := v.checkTime(svid); err != nil {
		return nil, outOfTime, err
	}
	return svid, "", nil
}

// allowedKeys hands out the keys of the allowed domains only, before anything is verified with them.
type allowedKeys struct {
	cfg     Config
	refused spiffeid.TrustDomain
}

// GetJWTBundleForTrustDomain implements jwtbundle.Source.
func (k *allowedKeys) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	if !slices.Contains(k.cfg.Domains, td) {
		k.refused = td
		return nil, &foreignError{td}
	}
	return k.cfg.JWTBundles.GetJWTBundleForTrustDomain(td)
}

// foreignError is the refusal of a trust domain that is not allowed by name.
type foreignError struct{ domain spiffeid.TrustDomain }

// Error implements error.
func (e *foreignError) Error() string {
	return fmt.Sprintf("trust domain %q is not allowed", e.domain.Name())
}

// checkForm accepts the one text that a token has: three segments of base64url (RFC 7515, section 3.1)
// without line breaks, which Go's decoder passes over, and without loose bits at a segment's end.
func checkForm(token string) error {
	if len(token) > maxToken {
		return fmt.Errorf("a token of %d bytes", len(token))
	}
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		return fmt.Errorf("a token of %d segments", len(segments))
	}
	for _, segment := range segments {
		if strings.ContainsAny(segment, "\r\n") {
			return errors.New("a line break in a token")
		}
		if _, err := base64.RawURLEncoding.Strict().DecodeString(segment); err != nil {
			return err
		}
	}
	return nil
}

// checkTime holds the token to five minutes, from now and, where it says when it was made, from then: a
// bearer token for a day is not good for its last five minutes either.
func (v *Verifier) checkTime(svid *jwtsvid.SVID) error {
	now := v.cfg.Now()
	made, told := moment(svid.Claims["iat"])
	from, _ := moment(svid.Claims["nbf"])
	switch {
	case now.After(svid.Expiry.Add(skew)):
		return fmt.Errorf("ended at %s", svid.Expiry.Format(time.RFC3339))
	case svid.Expiry.After(now.Add(maxLife + skew)):
		return fmt.Errorf("ends at %s, more than %s from now", svid.Expiry.Format(time.RFC3339), maxLife)
	case told && svid.Expiry.After(made.Add(maxLife+skew)):
		return fmt.Errorf("lives for %s, at most %s are accepted", svid.Expiry.Sub(made), maxLife)
	case made.After(now.Add(skew)) || from.After(now.Add(skew)):
		return errors.New("made in the future")
	}
	return nil
}

// moment reads a NumericDate (RFC 7519, section 2) that go-spiffe has already parsed as one.
func moment(claim any) (at time.Time, ok bool) {
	seconds, ok := claim.(float64)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

func (v *Verifier) refused(ctx context.Context, why string, err error) {
	v.cfg.Metrics.verified(why)
	attrs := []slog.Attr{slog.String("reason", why), slog.String("error", err.Error())}
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		v.cfg.Metrics.foreign(v.label(foreign.domain))
		attrs = append(attrs, slog.String("trust_domain", foreign.domain.Name()))
	}
	if v.limit.Allow() {
		v.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "JWT-SVID refused", attrs...)
	}
}

// label names a domain whose bundle we have; the others are names that anybody can make up.
func (v *Verifier) label(td spiffeid.TrustDomain) string {
	if _, err := v.cfg.JWTBundles.GetJWTBundleForTrustDomain(td); err != nil {
		return "unknown"
	}
	return td.Name()
}
