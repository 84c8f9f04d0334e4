package session

import (
	"encoding/json"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
)

// Session is a browser that logged in. It is a value; what it points to is shared by all who hold it and
// must not be changed.
type Session struct {
	// Hash is its name.
	Hash Hash
	// Origin is the one that its cookie belongs to, such as https://app.example.
	Origin string
	// Issuer and Subject are the user; SID is the provider's session, empty when the provider has none.
	Issuer, Subject, SID string
	// Groups and Claims are what the configuration lets in of the ID token.
	Groups []string
	Claims map[string]json.RawMessage
	// Scopes are what the provider granted.
	Scopes []string
	// AuthTime is when the user last showed who he is, or where the provider does not say it when this login began; ACR is
	// how well.
	AuthTime time.Time
	ACR      string
	// Created is when the session began, Absolute when it ends whatever happens; required.
	Created, Absolute time.Time
	// ProviderEnd is when the refresh token expires (refresh_expires_in); zero when it does not say.
	ProviderEnd time.Time
	// Idle is how long a session lives without activity; zero means for as long as it lives.
	Idle time.Duration
	// Tokens are the provider's.
	Tokens Tokens
	// Version counts the writes. [Store.Replace] writes only over the one that was loaded.
	Version uint64
}

// Tokens are what the provider gave us for the session. They never leave the server, except for the access
// token to a service that is in its audience.
type Tokens struct {
	// Access and Refresh are used, ID is the id_token_hint of a logout (RP-Initiated Logout 1.0, section 2).
	Access, Refresh, ID secret.Value
	// Key is what they are bound to (RFC 9449); zero where they are not.
	Key secret.Value
	// Issued and Expiry are the access token's.
	Issued, Expiry time.Time
	// Generation counts the refreshes.
	Generation uint64
	// Unsure is set after a refresh whose answer was lost: the refresh token may be spent.
	Unsure bool
}

// refreshAt is the share of an access token's life, in percent, after which it is refreshed.
const refreshAt = 80

// due is when the tokens should be refreshed.
func (t Tokens) due() time.Time { return t.Issued.Add(t.Expiry.Sub(t.Issued) * refreshAt / 100) }

// End is when the session ends without regard to activity: it never outlives what the provider would
// refresh.
func (s Session) End() time.Time {
	if s.ProviderEnd.IsZero() || s.Absolute.Before(s.ProviderEnd) {
		return s.Absolute
	}
	return s.ProviderEnd
}

// over reports whether the session has ended by its own times, given the last activity.
func (s Session) over(now, active time.Time) bool { return !now.Before(s.End()) || s.idle(now, active) }

func (s Session) idle(now, active time.Time) bool {
	return s.Idle > 0 && now.Sub(active) >= s.Idle
}

// writeEvery is how often activity is written at most.
func (s Session) writeEvery() time.Duration { return max(30*time.Second, s.Idle/20) }

// Logout is what a verified logout token asks for: the end of one provider session, or, without a SID, of
// all of a user's (Back-Channel Logout 1.0, section 2.7).
type Logout struct {
	// Issuer is required, and one of SID and Subject.
	Issuer, SID, Subject string
	// IssuedAt is the token's iat.
	IssuedAt time.Time
}

// Covers reports whether l ends s. A provider session that is over stays over. A user who logged in after
// the logout was issued is another matter: only what is older than that ends.
func (l Logout) Covers(s Session) bool {
	switch {
	case l.Issuer != s.Issuer:
		return false
	case l.SID != "":
		return l.SID == s.SID
	default:
		return l.Subject != "" && l.Subject == s.Subject && !s.AuthTime.After(l.IssuedAt)
	}
}

// Query says which sessions an operator asks for: a user's, a provider session's, or all.
type Query struct {
	Issuer, SID, Subject string
}

// Index is the index in which a query or a logout looks: by sid, else by subject, else over all.
func (q Query) Index() (kind, name string) {
	switch {
	case q.SID != "":
		return "sid", q.Issuer + "\x00" + q.SID
	case q.Subject != "":
		return "sub", q.Issuer + "\x00" + q.Subject
	default:
		return "all", ""
	}
}

// Matches reports whether s is asked for.
func (q Query) Matches(s Session) bool {
	return (q.Issuer == "" || q.Issuer == s.Issuer) && (q.SID == "" || q.SID == s.SID) && (q.Subject == "" || q.Subject == s.Subject)
}
