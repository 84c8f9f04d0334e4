package vault

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/secret"
)

// dataAnswer is what a read of KV version 2 answers.
type dataAnswer struct {
	Data struct {
		Data     map[string]field `json:"data"`
		Metadata versionMetadata  `json:"metadata"`
	} `json:"data"`
}

type versionMetadata struct {
	Version  uint64    `json:"version"`
	Created  time.Time `json:"created_time"`
	Deletion stamp     `json:"deletion_time"` // when this version will be deleted
}

// writeAnswer and metadataAnswer have the numbers of versions.
type (
	writeAnswer struct {
		Data versionMetadata `json:"data"`
	}
	metadataAnswer struct {
		Data struct {
			CurrentVersion uint64 `json:"current_version"`
		} `json:"data"`
	}
	listAnswer struct {
		Data struct {
			Keys []string `json:"keys"`
		} `json:"data"`
	}
)

// stamp is a time that Vault leaves empty where there is none.
type stamp struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (s *stamp) UnmarshalJSON(data []byte) error {
	if string(data) == `""` || string(data) == "null" {
		return nil
	}
	return s.Time.UnmarshalJSON(data)
}

// credential is the answer in our words. An engine with delete_version_after says when the version ends.
func (a dataAnswer) credential(name credential.Name) credential.Credential {
	c := credential.Credential{
		Name: name, Version: a.Data.Metadata.Version, Created: a.Data.Metadata.Created,
		NotAfter: a.Data.Metadata.Deletion.Time, Fields: make(credential.Fields, len(a.Data.Data)),
	}
	for name, f := range a.Data.Data {
		c.Fields[name] = f.Value
	}
	return c
}

// field is one field of a credential as it stands in Vault.
type field struct{ secret.Value }

// binary is how bytes stand there that no JSON string holds well.
type binary struct {
	Base64 []byte `json:"base64"`
}

// UnmarshalJSON implements json.Unmarshaler: a string is itself, {"base64": "..."} alone is bytes, and
// whatever else somebody wrote is its own text.
func (f *field) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		f.Value = secret.FromString(s)
	case '{':
		f.Value = secret.New(object(data))
	case 'n':
		f.Value = secret.Value{}
	default:
		f.Value = secret.New(append([]byte(nil), data...))
	}
	return nil
}

// object is the bytes of a binary, and any other object's text.
func object(data []byte) []byte {
	var keys map[string]json.RawMessage
	var b binary
	if json.Unmarshal(data, &keys) == nil && len(keys) == 1 && keys["base64"] != nil && json.Unmarshal(data, &b) == nil {
		return b.Base64
	}
	return append([]byte(nil), data...)
}

// encode puts the fields into the form that UnmarshalJSON reads.
func encode(fields credential.Fields) (json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(fields))
	for name, value := range fields {
		text, err := encodeField(value.Reveal())
		if err != nil {
			return nil, fmt.Errorf("vault: encode a field: %w", err)
		}
		out[name] = text
	}
	return json.Marshal(out)
}

// encodeField keeps text readable. Escapes make up to six bytes of one, and Vault's own storage takes
// 1 MiB an entry, which credential.MaxBytes stays below only when escapes stay rare.
func encodeField(b []byte) (json.RawMessage, error) {
	if utf8.Valid(b) {
		text, err := json.Marshal(string(b))
		if err != nil || len(text) <= 2*len(b)+2 {
			return text, err
		}
	}
	return json.Marshal(binary{b})
}
