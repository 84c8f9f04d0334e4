package exchange

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/token"
)

// introspection is RFC 7662, section 2.2, with the cnf of RFC 8705, section 3.2, and the act of RFC 8693,
// section 4.1. The zero introspection is the whole answer about a token that is not active.
type introspection struct {
	Active       bool          `json:"active"`
	Scope        string        `json:"scope,omitempty"`
	ClientID     string        `json:"client_id,omitempty"`
	TokenType    string        `json:"token_type,omitempty"`
	Expiry       int64         `json:"exp,omitempty"`
	IssuedAt     int64         `json:"iat,omitempty"`
	NotBefore    int64         `json:"nbf,omitempty"`
	Subject      string        `json:"sub,omitempty"`
	Audience     any           `json:"aud,omitempty"`
	Issuer       string        `json:"iss,omitempty"`
	ID           string        `json:"jti,omitempty"`
	Confirmation *confirmation `json:"cnf,omitempty"`
	Act          *actor        `json:"act,omitempty"`
	User         *subjectID    `json:"sub_id,omitempty"`
	Groups       []string      `json:"groups,omitempty"`
}

// subjectID is RFC 9493, section 3.2.2, as it stands in the token.
type subjectID struct {
	Format  string `json:"format"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

type confirmation struct {
	Thumbprint string `json:"x5t#S256"`
}

type actor struct {
	Subject string `json:"sub"`
	Issuer  string `json:"iss,omitempty"`
	Act     *actor `json:"act,omitempty"`
}

func actors(a *token.Actor) *actor {
	if a == nil {
		return nil
	}
	return &actor{Subject: a.Subject, Issuer: a.Issuer, Act: actors(a.Act)}
}

func active(c token.Claims) introspection {
	i := introspection{
		Active: true, Scope: strings.Join(c.Scope, " "), ClientID: c.ClientID, TokenType: "Bearer", Expiry: c.Expiry.Unix(),
		IssuedAt: c.IssuedAt.Unix(), Subject: c.Subject, Audience: c.Audience, Issuer: c.Issuer, ID: c.ID, Act: actors(c.Act), Groups: c.Groups,
	}
	if c.User != nil {
		i.User = &subjectID{Format: "iss_sub", Issuer: c.User.Issuer, Subject: c.User.Subject}
	}
	if !c.NotBefore.IsZero() {
		i.NotBefore = c.NotBefore.Unix()
	}
	if len(c.Audience) == 1 { // as it stands in the token
		i.Audience = c.Audience[0]
	}
	if c.Confirmation != "" {
		i.Confirmation = &confirmation{c.Confirmation}
	}
	return i
}

// introspect is the introspection endpoint. Policy decides before the token is looked into, by the
// audience that it names: so a caller that may not look gets the same answer, header for header, whether
// the token is good or forged. What names no audience is no token of ours, and that is no secret.
func (o *OAuth) introspect(r *http.Request, f form) (reply, error) {
	raw, err := f.token()
	if err != nil {
		return reply{}, err
	}
	audience, err := named(raw)
	if err != nil {
		return o.say(r, introspection{}, "")
	}
	grant, err := o.Service.Point.Check(r.Context(), policy.ActionIntrospect, policy.Entity{Type: "audience", ID: audience})
	if fault.KindOf(err) == fault.Denied {
		return o.say(r, introspection{}, fault.From(err).Decision)
	} else if err != nil {
		return reply{}, err
	}
	found, err := o.look(r.Context(), raw)
	grant.Done(pep.Outcome{Err: err})
	if err != nil {
		return reply{}, fault.WithDecision(err, grant.ID)
	}
	return o.say(r, found, grant.ID)
}

// look says whether a token is active. An error means that it could not be found out.
func (o *OAuth) look(ctx context.Context, raw string) (introspection, error) {
	claims, err := o.alive(ctx, raw)
	if fault.KindOf(err) == fault.Unauthenticated {
		return introspection{}, nil
	} else if err != nil {
		return introspection{}, err
	}
	return active(claims), nil
}

// alive returns what a token of ours says that has neither ended nor been revoked. The leeway of the
// verifier is for clocks that differ; that a token has ended by ours is for us to say.
func (o *OAuth) alive(ctx context.Context, raw string) (token.Claims, error) {
	dead := fault.New(fault.Unauthenticated, token.ReasonInvalid, "the token is not active")
	audience, err := named(raw)
	if err != nil {
		return token.Claims{}, dead.Because(err)
	}
	v := token.Verifier{Issuer: o.Service.Issuer, Audience: audience, Keys: o.Keys, Now: o.Service.Now}
	claims, err := v.VerifyWithoutPossession(ctx, raw)
	if err != nil {
		return token.Claims{}, err
	}
	if !claims.Expiry.After(o.Service.now()) {
		return token.Claims{}, dead
	}
	revoked, err := o.Revoked.Has(ctx, claims.ID)
	if err != nil {
		return token.Claims{}, err
	}
	if revoked {
		return token.Claims{}, dead
	}
	return claims, nil
}

// named returns the one audience that an unverified token names, if it could be one of ours.
func named(raw string) (string, error) {
	if len(raw) > token.MaxBytes {
		return "", notOurs(nil)
	}
	told, err := peek(raw)
	if err != nil {
		return "", err
	}
	audience, ok := told.one()
	if !ok || len(audience) > maxName || !utf8.ValidString(audience) {
		return "", notOurs(nil)
	}
	return audience, nil
}

// say answers an introspection in the form that the caller accepts.
func (o *OAuth) say(r *http.Request, i introspection, decision string) (reply, error) {
	if !wantsJWT(r.Header.Values("Accept")) {
		return answer(i, decision)
	}
	who, _ := identity.FromContext(r.Context())
	signed, err := o.SignReply(r.Context(), typeIntrospection, introspectionJWT{
		Issuer: o.Service.Issuer, Audience: who.Subject(), IssuedAt: o.Service.now().Unix(), Introspection: i,
	})
	return reply{decision: decision, contentType: mediaIntrospection, body: signed.Reveal()}, err
}

// The JOSE typ and the media type of signed answers (RFC 9701, sections 4 and 5).
const (
	typeIntrospection  = "token-introspection+jwt"
	mediaIntrospection = "application/" + typeIntrospection
)

// introspectionJWT is RFC 9701, section 5. It has no sub and no exp of its own, so that it cannot be taken
// for an ID token (section 8.1).
type introspectionJWT struct {
	Issuer        string        `json:"iss"`
	Audience      string        `json:"aud"`
	IssuedAt      int64         `json:"iat"`
	Introspection introspection `json:"token_introspection"`
}
