package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
)

// Issuer is one OpenID issuer whose users' access tokens count.
type Issuer struct {
	// URL is its issuer identifier (OpenID Connect Discovery 1.0, section 3); required.
	URL string
	// Audience is how its access tokens name us; one of these must be in `aud`. Required: a token that is
	// meant for somebody else is not ours to use.
	Audience []string
	// Groups is the claim that lists the user's groups; empty means groups.
	Groups string
	// Algorithms are those of its signatures; empty means the asymmetric ones.
	Algorithms []string
	// Client fetches metadata and keys; nil means one that verifies TLS with the system's roots.
	Client *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ReasonIssuer is the reason of a refusal because an issuer's keys cannot be had.
const ReasonIssuer = "ISSUER_UNAVAILABLE"

// Asymmetric returns the algorithms of which nobody but the issuer has the key that signs.
func Asymmetric() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}
}

// Users verifies access tokens of several issuers. An issuer is asked for its metadata when its first token
// comes, and again until it answers: one that is down fails its own tokens and nobody else's.
type Users struct{ byURL map[string]*userIssuer }

// NewUsers returns a verifier of the tokens of these issuers.
func NewUsers(issuers ...Issuer) (*Users, error) {
	u := &Users{byURL: map[string]*userIssuer{}}
	for _, cfg := range issuers {
		if cfg.URL == "" || len(cfg.Audience) == 0 || slices.Contains(cfg.Audience, "") {
			return nil, errors.New("authn: an issuer needs a URL and the audience that we are")
		}
		if strings.Contains(strings.ReplaceAll(strings.ToUpper(cfg.URL), "%7C", "|"), "|") {
			return nil, errors.New("authn: an issuer with a | cannot be written in a policy")
		}
		if u.byURL[cfg.URL] != nil {
			return nil, fmt.Errorf("authn: issuer %s is given twice", cfg.URL)
		}
		u.byURL[cfg.URL] = newUserIssuer(cfg)
	}
	return u, nil
}

// Knows reports whether tokens of that issuer are verified here.
func (u *Users) Knows(issuer string) bool { return u != nil && u.byURL[issuer] != nil }

// FromAccessToken returns the user whom an access token of the issuer names. What is no good token is
// Unauthenticated; an issuer whose keys cannot be had is Unavailable.
func (u *Users) FromAccessToken(ctx context.Context, issuer, raw string) (identity.User, error) {
	if !u.Knows(issuer) {
		return identity.User{}, unauthenticated("the token's issuer is not one of ours")
	}
	i := u.byURL[issuer]
	typ, err := headerType(raw)
	if err != nil {
		return identity.User{}, badToken(err)
	}
	claims, err := i.verify(ctx, raw)
	if err != nil {
		return identity.User{}, err
	}
	user, err := i.user(typ, claims)
	if err != nil {
		return identity.User{}, badToken(err)
	}
	return user, nil
}

func badToken(cause error) error {
	return unauthenticated("the access token is not valid here").Because(cause)
}

// userIssuer is one of the issuers, and what is known of it.
type userIssuer struct {
	Issuer

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil: it has not answered yet
	tried    time.Time
	failure  error
}

func newUserIssuer(cfg Issuer) *userIssuer {
	if cfg.Groups == "" {
		cfg.Groups = "groups"
	}
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = Asymmetric()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Client = bounded(cfg.Client)
	return &userIssuer{Issuer: cfg}
}

// verify returns the claims of a token whose signature and issuer are good.
func (i *userIssuer) verify(ctx context.Context, raw string) (claims map[string]any, err error) {
	verifier, err := i.discover()
	if err != nil {
		return nil, i.unavailable(err)
	}
	outage := new(error)
	verified, err := verifier.Verify(context.WithValue(ctx, outageKey{}, outage), raw)
	switch {
	case *outage != nil:
		return nil, i.unavailable(*outage)
	case err != nil:
		return nil, badToken(err)
	}
	if err := verified.Claims(&claims); err != nil {
		return nil, badToken(err)
	}
	return claims, nil
}

func (i *userIssuer) unavailable(cause error) error {
	return fault.New(fault.Unavailable, ReasonIssuer, "the keys of the token's issuer cannot be had now").Because(cause)
}

const (
	discoveryTimeout = 5 * time.Second
	discoveryPause   = time.Second
)

// discover reads the issuer's metadata once. While it does not answer, it is asked at most once a second.
func (i *userIssuer) discover() (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	if i.failure != nil && time.Since(i.tried) < discoveryPause {
		return nil, i.failure
	}
	i.tried = time.Now()
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.Background(), i.Client), discoveryTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, i.URL)
	var metadata struct {
		Keys string `json:"jwks_uri"`
	}
	if err == nil {
		err = provider.Claims(&metadata)
	}
	if err == nil && metadata.Keys == "" {
		err = errors.New("its metadata has no jwks_uri")
	}
	if i.failure = err; err != nil {
		return nil, err
	}
	keys := &watchedKeys{oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), i.Client), metadata.Keys)}
	// Whom the token is for and how long it lives is looked at here: go-oidc knows ID tokens.
	i.verifier = oidc.NewVerifier(i.URL, keys, &oidc.Config{SupportedSigningAlgs: i.Algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true})
	return i.verifier, nil
}

// watchedKeys tells a set of keys that cannot be fetched from a signature that is wrong, which go-oidc's
// verifier words alike.
type watchedKeys struct{ oidc.KeySet }

type outageKey struct{}

// VerifySignature implements [oidc.KeySet].
func (k *watchedKeys) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, raw)
	if outage, ok := ctx.Value(outageKey{}).(*error); ok && err != nil && strings.HasPrefix(err.Error(), "fetching keys") {
		*outage = err
	}
	return payload, err
}
