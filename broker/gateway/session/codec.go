package session

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// maxRecord bounds a session: three tokens of 16 KiB in base64, and claims.
const maxRecord = 96 << 10

// record is a session as it is sealed. It is apart from [Session] because a secret.Value does not encode:
// here, and nowhere else, its bytes go into JSON, which goes into a seal at once.
type record struct {
	Origin      string                     `json:"origin,omitempty"`
	Issuer      string                     `json:"iss"`
	Subject     string                     `json:"sub"`
	SID         string                     `json:"sid,omitempty"`
	Groups      []string                   `json:"groups,omitempty"`
	Claims      map[string]json.RawMessage `json:"claims,omitempty"`
	Scopes      []string                   `json:"scopes,omitempty"`
	AuthTime    time.Time                  `json:"auth_time,omitzero"`
	ACR         string                     `json:"acr,omitempty"`
	Created     time.Time                  `json:"created"`
	Absolute    time.Time                  `json:"absolute"`
	ProviderEnd time.Time                  `json:"provider_end,omitzero"`
	Idle        time.Duration              `json:"idle,omitempty"`
	Access      []byte                     `json:"access,omitempty"`
	Refresh     []byte                     `json:"refresh,omitempty"`
	ID          []byte                     `json:"id,omitempty"`
	Key         []byte                     `json:"key,omitempty"`
	Issued      time.Time                  `json:"issued,omitzero"`
	Expiry      time.Time                  `json:"expiry,omitzero"`
	Generation  uint64                     `json:"generation,omitempty"`
	Unsure      bool                       `json:"unsure,omitempty"`
}

// encode returns the session without its hash and version, which the seal binds.
func encode(s Session) ([]byte, error) {
	t := s.Tokens
	data, err := json.Marshal(record{
		Origin: s.Origin, Issuer: s.Issuer, Subject: s.Subject, SID: s.SID, Groups: s.Groups, Claims: s.Claims, Scopes: s.Scopes,
		AuthTime: s.AuthTime, ACR: s.ACR, Created: s.Created, Absolute: s.Absolute, ProviderEnd: s.ProviderEnd, Idle: s.Idle,
		Access: t.Access.Reveal(), Refresh: t.Refresh.Reveal(), ID: t.ID.Reveal(), Key: t.Key.Reveal(),
		Issued: t.Issued, Expiry: t.Expiry, Generation: t.Generation, Unsure: t.Unsure,
	})
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if len(data) > maxRecord {
		return nil, fault.New(fault.TooLarge, "SESSION_TOO_LARGE", "the tokens and claims of this login are too large")
	}
	return data, nil
}

func decode(h Hash, version uint64, data []byte) (Session, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	if r.Issuer == "" || r.Subject == "" || r.Absolute.IsZero() {
		return Session{}, Error("session: a record without issuer, subject or end")
	}
	return Session{
		Hash: h, Version: version,
		Origin: r.Origin, Issuer: r.Issuer, Subject: r.Subject, SID: r.SID, Groups: r.Groups, Claims: r.Claims, Scopes: r.Scopes,
		AuthTime: r.AuthTime, ACR: r.ACR, Created: r.Created, Absolute: r.Absolute, ProviderEnd: r.ProviderEnd, Idle: r.Idle,
		Tokens: Tokens{
			Access: secret.New(r.Access), Refresh: secret.New(r.Refresh), ID: secret.New(r.ID), Key: keyOf(r.Key),
			Issued: r.Issued, Expiry: r.Expiry, Generation: r.Generation, Unsure: r.Unsure,
		},
	}, nil
}

// keyOf keeps what most sessions have none of from looking like one that is empty.
func keyOf(stored []byte) secret.Value {
	if len(stored) == 0 {
		return secret.Value{}
	}
	return secret.New(stored)
}

// tombstone is an Ended as it is sealed.
type tombstone struct {
	Reason  Reason    `json:"reason"`
	At      time.Time `json:"at"`
	Hint    []byte    `json:"hint,omitempty"`
	Origin  string    `json:"origin,omitempty"`
	Issuer  string    `json:"iss,omitempty"`
	Subject string    `json:"sub,omitempty"`
	SID     string    `json:"sid,omitempty"`
}

func encodeEnded(e Ended) ([]byte, error) {
	return json.Marshal(tombstone{e.Reason, e.At, e.Hint.Reveal(), e.Origin, e.Issuer, e.Subject, e.SID})
}

func decodeEnded(data []byte) (*Ended, error) {
	var t tombstone
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return &Ended{t.Reason, t.At, secret.New(t.Hint), t.Origin, t.Issuer, t.Subject, t.SID}, nil
}
