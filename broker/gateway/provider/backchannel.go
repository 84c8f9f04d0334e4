package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Logout is what a verified logout token asks for: the end of the session SID, or where that is empty of all
// sessions of Subject.
type Logout struct {
	Issuer, Subject, SID string
	// IssuedAt is the moment of the logout: sessions of a later login are not meant.
	IssuedAt time.Time
	// RevokeOffline asks for offline access to end too.
	RevokeOffline bool
}

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	// maxLogoutLife is above the two minutes that are recommended (OpenID Connect Back-Channel Logout 1.0,
	// section 2.4), and below what a collected token would be worth.
	maxLogoutLife = 5 * time.Minute
)

// The reasons for which a logout token is refused.
const (
	ReasonLogout = "LOGOUT_TOKEN_INVALID"
	// ReasonReplayed: the token was good, and was used before. That has no effect, and may be answered
	// like the first time.
	ReasonReplayed = "LOGOUT_TOKEN_REPLAYED"
)

func badLogout(cause error) *fault.Error {
	return fault.New(fault.InvalidRequest, ReasonLogout, "the logout token is not valid").Because(cause)
}

// VerifyLogoutToken does what OpenID Connect Back-Channel Logout 1.0, section 2.6 asks for. A token is good
// once per process: a second replica takes it again, and finds nothing to do. Its failures are
// fault.InvalidRequest when the token is at fault, and fault.Unavailable when the keys cannot be had.
func (p *Provider) VerifyLogoutToken(ctx context.Context, raw string) (Logout, error) {
	r, err := p.ready()
	if err != nil {
		return Logout{}, err
	}
	if err := p.checkLogoutHeader(raw); err != nil {
		return Logout{}, badLogout(err)
	}
	verifier, keys := p.verifier(r, false)
	token, err := verifier.VerifyLogout(ctx, raw)
	if f, ok := errors.AsType[*fault.Error](keys.err); ok {
		return Logout{}, f
	} else if err != nil {
		return Logout{}, badLogout(err)
	}
	var more struct {
		Events map[string]json.RawMessage `json:"events"`
	}
	if err := token.Claims(&more); err != nil {
		return Logout{}, badLogout(err)
	}
	// go-oidc is content when the event is there; it must be an object (section 2.4).
	if event := more.Events[logoutEvent]; len(event) == 0 || event[0] != '{' {
		return Logout{}, badLogout(errors.New("the event is no object"))
	}
	if err := p.checkLogoutTimes(token.IssuedAt, token.Expiry); err != nil {
		return Logout{}, badLogout(err)
	}
	if !p.replayed.first(token.TokenID, token.Expiry.Add(skew)) {
		return Logout{}, fault.New(fault.InvalidRequest, ReasonReplayed, "the logout token was used before")
	}
	return Logout{
		Issuer: token.Issuer, Subject: token.Subject, SID: token.SessionID, IssuedAt: token.IssuedAt,
		RevokeOffline: string(more.Events["revoke_offline_access"]) == "true",
	}, nil
}

// checkLogoutHeader wants the type that no other token has (section 2.4; RFC 8725, section 3.11).
func (p *Provider) checkLogoutHeader(raw string) error {
	if err := wellFormed(raw); err != nil {
		return err
	}
	var header struct {
		Type string `json:"typ"`
	}
	head, _, _ := strings.Cut(raw, ".")
	data, err := base64.RawURLEncoding.DecodeString(head)
	if err == nil {
		err = json.Unmarshal(data, &header)
	}
	if err != nil {
		return err
	}
	typ := strings.TrimPrefix(strings.ToLower(header.Type), "application/") // RFC 7515, section 4.1.9
	if typ == "logout+jwt" || p.cfg.LenientLogout && (typ == "" || typ == "jwt") {
		return nil
	}
	return fmt.Errorf("its typ is %q", short(header.Type))
}

func (p *Provider) checkLogoutTimes(issued, expiry time.Time) error {
	now := p.cfg.Now()
	switch {
	case issued.Unix() <= 0 || issued.After(now.Add(skew)):
		return fmt.Errorf("issued at %v", issued)
	case expiry.Sub(issued) > maxLogoutLife && !p.cfg.LenientLogout:
		return fmt.Errorf("good for %v", expiry.Sub(issued))
	}
	return nil
}

// maxReplays bounds the memory. Only who holds the provider's key gets anything in here.
const maxReplays = 16384

// replays remembers the jti of logout tokens until they end.
type replays struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[[32]byte]time.Time
}

func newReplays(now func() time.Time) *replays {
	return &replays{now: now, seen: map[[32]byte]time.Time{}}
}

// first reports whether jti is new. When the memory is full of what has not ended, the one that ends first
// goes: a replay of it would do what was done already.
func (r *replays) first(jti string, end time.Time) bool {
	key := sha256.Sum256([]byte(jti))
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.seen[key]; ok && r.now().Before(old) {
		return false
	}
	if len(r.seen) >= maxReplays {
		r.makeRoom()
	}
	r.seen[key] = end
	return true
}

func (r *replays) makeRoom() {
	now, soonest := r.now(), [32]byte{}
	var least time.Time
	for key, end := range r.seen {
		switch {
		case !now.Before(end):
			delete(r.seen, key)
		case least.IsZero() || end.Before(least):
			soonest, least = key, end
		}
	}
	if len(r.seen) >= maxReplays {
		delete(r.seen, soonest)
	}
}
