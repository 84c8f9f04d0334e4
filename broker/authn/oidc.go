package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

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
	// Client fetches metadata and keys; nil means one that verifies TLS with the system's roots. One without a
	// timeout gets one.
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

	verifier atomic.Pointer[oidc.IDTokenVerifier] // nil: it has not answered yet
	asking   singleflight.Group
	// Of whoever is asking: the last answer that was none, and when it came.
	failure error
	failed  time.Time
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
	verifier, err := i.discover(ctx)
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
	issuerTimeout  = 5 * time.Second // for one answer of an issuer
	discoveryPause = time.Second
)

// discover returns what verifies the issuer's tokens. Whoever waits for its metadata waits for the one attempt
// that is under way, and no longer than ctx allows.
func (i *userIssuer) discover(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	if v := i.verifier.Load(); v != nil {
		return v, nil
	}
	select {
	case found := <-i.asking.DoChan("", i.ask):
		return i.verifier.Load(), found.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask reads the issuer's metadata, for all who wait: that one of them gives up is not the issuer's failure.
// While it does not answer, it is left alone for a second after each attempt.
func (i *userIssuer) ask() (any, error) {
	if i.verifier.Load() != nil {
		return nil, nil
	}
	if i.failure != nil && time.Since(i.failed) < discoveryPause {
		return nil, i.failure
	}
	at, err := i.keysAt()
	if i.failure, i.failed = err, time.Now(); err != nil {
		return nil, err
	}
	client := oidc.ClientContext(context.Background(), i.Client)
	keys := &agedKeys{unread: func() oidc.KeySet { return oidc.NewRemoteKeySet(client, at) }, now: i.Now}
	// Whom the token is for and how long it lives is looked at here: go-oidc knows ID tokens.
	i.verifier.Store(oidc.NewVerifier(i.URL, keys, &oidc.Config{SupportedSigningAlgs: i.Algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true}))
	return nil, nil
}

// keysAt returns where the issuer's metadata says that its keys are.
func (i *userIssuer) keysAt() (string, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.Background(), i.Client), issuerTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, i.URL)
	if err != nil {
		return "", err
	}
	var metadata struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return "", err
	}
	if metadata.Keys == "" {
		return "", errors.New("its metadata has no jwks_uri")
	}
	return metadata.Keys, nil
}
