package token

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// wire is the payload (RFC 9068, section 2.2; RFC 8693, section 4; RFC 8705, section 3.1).
type wire struct {
	Issuer       string           `json:"iss"`
	Subject      string           `json:"sub"`
	Audience     audience         `json:"aud"`
	ClientID     string           `json:"client_id"`
	Expiry       *jwt.NumericDate `json:"exp"`
	IssuedAt     *jwt.NumericDate `json:"iat"`
	NotBefore    *jwt.NumericDate `json:"nbf,omitempty"`
	ID           string           `json:"jti"`
	Scope        string           `json:"scope,omitempty"`
	Act          *wireActor       `json:"act,omitempty"`
	Confirmation confirmation     `json:"cnf,omitempty"`
}

type wireActor struct {
	Subject string     `json:"sub"`
	Issuer  string     `json:"iss,omitempty"`
	Act     *wireActor `json:"act,omitempty"`
}

// audience is one string where there is one, since some readers know no other form, and a list otherwise
// (RFC 7519, section 4.1.3).
type audience []string

func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

func (a *audience) UnmarshalJSON(data []byte) error {
	var list jwt.ClaimStrings
	err := list.UnmarshalJSON(data)
	*a = audience(list)
	return err
}

// confirmation is the one member of cnf that we know. Others, and none, are refused: a token that is bound
// in a way that we cannot check is not an unbound one (RFC 7800, section 3.1).
type confirmation string

const x5tS256 = "x5t#S256"

func (c confirmation) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{x5tS256: string(c)})
}

func (c *confirmation) UnmarshalJSON(data []byte) error {
	var members map[string]string
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	*c = confirmation(members[x5tS256])
	if len(members) != 1 || !isThumbprint(string(*c)) {
		return errors.New("cnf is not an x5t#S256 and nothing else")
	}
	return nil
}

// The jwt.Claims of golang-jwt, for its Validator.

func (w *wire) GetExpirationTime() (*jwt.NumericDate, error) { return w.Expiry, nil }
func (w *wire) GetIssuedAt() (*jwt.NumericDate, error)       { return w.IssuedAt, nil }
func (w *wire) GetNotBefore() (*jwt.NumericDate, error)      { return w.NotBefore, nil }
func (w *wire) GetIssuer() (string, error)                   { return w.Issuer, nil }
func (w *wire) GetSubject() (string, error)                  { return w.Subject, nil }
func (w *wire) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings(w.Audience), nil }

func (c Claims) wire() wire {
	w := wire{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, ClientID: c.ClientID,
		Expiry: jwt.NewNumericDate(c.Expiry), IssuedAt: jwt.NewNumericDate(c.IssuedAt), ID: c.ID,
		Scope: strings.Join(c.Scope, " "), Act: c.Act.wire(), Confirmation: confirmation(c.Confirmation),
	}
	if !c.NotBefore.IsZero() {
		w.NotBefore = jwt.NewNumericDate(c.NotBefore)
	}
	return w
}

func (a *Actor) wire() *wireActor {
	if a == nil {
		return nil
	}
	return &wireActor{Subject: a.Subject, Issuer: a.Issuer, Act: a.Act.wire()}
}

// claims reads what is complete.
func (w *wire) claims() (Claims, error) {
	if w.Subject == "" || w.ClientID == "" || w.ID == "" || w.IssuedAt == nil || w.Expiry == nil {
		return Claims{}, errors.New("sub, client_id, jti, iat and exp are required (RFC 9068, section 2.2)")
	}
	act, err := w.Act.actor(MaxActors)
	if err != nil {
		return Claims{}, err
	}
	c := Claims{
		Issuer: w.Issuer, Subject: w.Subject, Audience: w.Audience, ClientID: w.ClientID,
		Expiry: w.Expiry.Time, IssuedAt: w.IssuedAt.Time, NotBefore: date(w.NotBefore), ID: w.ID,
		Scope: strings.Fields(w.Scope), Act: act, Confirmation: string(w.Confirmation),
	}
	return c, nil
}

func date(d *jwt.NumericDate) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.Time
}

func (w *wireActor) actor(left int) (*Actor, error) {
	if w == nil {
		return nil, nil
	}
	if left == 0 || w.Subject == "" {
		return nil, errors.New("act has a member without a name, or too many")
	}
	next, err := w.Act.actor(left - 1)
	return &Actor{Subject: w.Subject, Issuer: w.Issuer, Act: next}, err
}
