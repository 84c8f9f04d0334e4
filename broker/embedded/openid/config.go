package openid

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/secret"
)

// Config describes a Provider.
type Config struct {
	// Issuer is the URL under which it is reached, with a path if it shares its listener; required.
	Issuer string
	// Clients are the relying parties; [Provider.SetClient] adds more.
	Clients []Client
	// Users are who may log in; nil means [DemoUsers].
	Users []User
	// Resources are audiences that exist and are no clients.
	Resources []string
	// Algorithm signs, "ES256" or "RS256"; empty means ES256.
	Algorithm string
	// AccessLife is the life of access and ID tokens; 0 means 5 min.
	AccessLife time.Duration
	// SessionIdle ends a session that saw neither login nor refresh; 0 means 30 min.
	SessionIdle time.Duration
	// SessionMax ends every session; 0 means 10 h.
	SessionMax time.Duration
	// ReuseRefreshTokens leaves refresh tokens good after their use; false means rotation, where one that
	// comes again ends its grant.
	ReuseRefreshTokens bool
	// RefreshReuse is how often a rotated refresh token may still come; 0 means never.
	RefreshReuse int
	// Nonce is wanted in every proof of possession (RFC 9449, section 8); empty means that none is.
	Nonce string
	// RequirePAR refuses authorization requests that were not pushed.
	RequirePAR bool
	// Bundles verify JWT-SVIDs of clients; nil means that none can prove itself by one.
	Bundles jwtbundle.Source
	// HTTP carries logout tokens to clients and fetches their keys; nil means http.DefaultClient.
	HTTP *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client is a relying party. It is confidential: one of Secret, SPIFFEID, Keys and JWKSURI is how it proves
// itself.
type Client struct {
	// ID is its client_id; required.
	ID string
	// Secret is for client_secret_basic and client_secret_post.
	Secret secret.Value
	// SPIFFEID is the subject of its JWT-SVIDs (draft-ietf-oauth-spiffe-client-auth).
	SPIFFEID spiffeid.ID
	// Keys verify its private_key_jwt assertions.
	Keys jose.JSONWebKeySet
	// JWKSURI is where more of them are, fetched again at most every 10 s.
	JWKSURI string
	// RedirectURIs and PostLogoutRedirectURIs are compared byte for byte.
	RedirectURIs, PostLogoutRedirectURIs []string
	// BackchannelLogoutURI and FrontchannelLogoutURI hear of the end of a session; empty means not.
	BackchannelLogoutURI, FrontchannelLogoutURI string
	// Audiences are in its access tokens, and what it may exchange them for.
	Audiences []string
	// Scopes are known beside openid, profile, email and groups.
	Scopes []string
	// NoExchange switches token exchange off.
	NoExchange bool
	// DPoP refuses token requests without a proof of possession (RFC 9449); false binds tokens of who sends one.
	DPoP bool
}

// User is who may log in.
type User struct {
	// Name is typed into the page; required.
	Name string
	// Password goes with it.
	Password secret.Value
	// Subject is the `sub`; empty means the name.
	Subject string
	// FullName and Email are claims.
	FullName, Email string
	// Groups is the claim `groups`.
	Groups []string
}

func (u *User) subject() string { return cmp.Or(u.Subject, u.Name) }

// DemoUsers are alice, of the group staff, and bob; the password of each is the name.
func DemoUsers() []User {
	return []User{
		{Name: "alice", Password: secret.FromString("alice"), FullName: "Alice Example", Email: "alice@example.test", Groups: []string{"staff"}},
		{Name: "bob", Password: secret.FromString("bob"), FullName: "Bob Example", Email: "bob@example.test"},
	}
}

func (c Config) withDefaults() Config {
	if c.Users == nil {
		c.Users = DemoUsers()
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Algorithm = cmp.Or(c.Algorithm, "ES256")
	c.AccessLife = cmp.Or(c.AccessLife, 5*time.Minute)
	c.SessionIdle = cmp.Or(c.SessionIdle, 30*time.Minute)
	c.SessionMax = cmp.Or(c.SessionMax, 10*time.Hour)
	return c
}

func (c Config) check() (*url.URL, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("openid: %q is no issuer", c.Issuer)
	}
	if slices.ContainsFunc(c.Clients, func(c Client) bool { return c.ID == "" }) {
		return nil, errors.New("openid: a client without an id")
	}
	return u, nil
}
