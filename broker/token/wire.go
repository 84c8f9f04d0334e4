package token

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// written is the payload as we write it (RFC 9068, section 2.2; RFC 8693, section 4; RFC 8705, section
// 3.1). Its types encode without methods of their own: after the signature this is the dearest part of an
// exchange.
type written struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	Audience     any           `json:"aud"`
	ClientID     string        `json:"client_id"`
	Expiry       int64         `json:"exp"`
	IssuedAt     int64         `json:"iat"`
	NotBefore    int64         `json:"nbf,omitempty"`
	ID           string        `json:"jti"`
	Scope        string        `json:"scope,omitempty"`
	User         *subjectID    `json:"sub_id,omitempty"`
	Groups       []string      `json:"groups,omitempty"`
	Act          *wireActor    `json:"act,omitempty"`
	Confirmation *confirmedX5T `json:"cnf,omitempty"`
}

type wireActor struct {
	Subject string     `json:"sub"`
	Issuer  string     `json:"iss,omitempty"`
	Act     *wireActor `json:"act,omitempty"`
}

// subjectID is a subject identifier of the format iss_sub (RFC 9493, section 3.2.2).
type subjectID struct {
	Format  string `json:"format"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

const issSub = "iss_sub"

type confirmedX5T struct {
	Thumbprint string `json:"x5t#S256"`
}

// wire is the payload as we read it.
type wire struct {
	Issuer       string           `json:"iss"`
	Subject      string           `json:"sub"`
	Audience     jwt.ClaimStrings `json:"aud"`
	ClientID     string           `json:"client_id"`
	Expiry       *jwt.NumericDate `json:"exp"`
	IssuedAt     *jwt.NumericDate `json:"iat"`
	NotBefore    *jwt.NumericDate `json:"nbf"`
	ID           string           `json:"jti"`
	Scope        string           `json:"scope"`
	User         *subjectID       `json:"sub_id"`
	Groups       []string         `json:"groups"`
	Act          *wireActor       `json:"act"`
	Confirmation confirmation     `json:"cnf"`
}

// confirmation is the one member of cnf that we know. Others, and none, are refused: a token that is bound
// in a way that we cannot check is not an unbound one (RFC 7800, section 3.1).
type confirmation string

const x5tS256 = "x5t#S256"

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
func (w *wire) GetAudience() (jwt.ClaimStrings, error)       { return w.Audience, nil }

func (c Claims) wire() written {
	w := written{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, ClientID: c.ClientID,
		Expiry: c.Expiry.Unix(), IssuedAt: c.IssuedAt.Unix(), ID: c.ID, Scope: strings.Join(c.Scope, " "), Act: c.Act.wire(),
	}
	if len(c.Audience) == 1 { // some readers know no list (RFC 7519, section 4.1.3, allows both)
		w.Audience = c.Audience[0]
	}
	if !c.NotBefore.IsZero() {
		w.NotBefore = c.NotBefore.Unix()
	}
	if c.Confirmation != "" {
		w.Confirmation = &confirmedX5T{c.Confirmation}
	}
	if c.User != nil {
		w.User, w.Groups = &subjectID{issSub, c.User.Issuer, c.User.Subject}, c.Groups
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
	user, err := w.user()
	if err != nil {
		return Claims{}, err
	}
	c := Claims{
		User: user, Groups: w.Groups,
		Issuer: w.Issuer, Subject: w.Subject, Audience: w.Audience, ClientID: w.ClientID,
		Expiry: w.Expiry.Time, IssuedAt: w.IssuedAt.Time, NotBefore: date(w.NotBefore), ID: w.ID,
		Scope: strings.Fields(w.Scope), Act: act, Confirmation: string(w.Confirmation),
	}
	return c, nil
}

// user holds that sub and sub_id name the same one: a service may read either.
func (w *wire) user() (*User, error) {
	if w.User == nil {
		return nil, nil //nolint:nilnil // a workload
	}
	u := &User{Issuer: w.User.Issuer, Subject: w.User.Subject}
	if w.User.Format != issSub || !u.isNamed() || w.Subject != u.Name() {
		return nil, errors.New("sub_id is no iss_sub of the subject (RFC 9493, section 3.2.2)")
	}
	return u, nil
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
