package sealed

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/secret"
)

// maxForgotten is how many deleted names are remembered. A deleted name keeps its last number, so that
// no version of it ever means two things in the audit log; only when so many names are gone does the one
// that went first start at 1 again.
const maxForgotten = 1000

// document is what the file holds:
//
//	{"serial": 7, "credentials": {"crm/login": {"last": 2, "versions": [
//	    {"number": 1, "created": "2026-01-01T00:00:00Z", "fields": {"password": "b25l"}},
//	    {"number": 2, …}]}}}
//
// serial counts the saves. Versions stand in the order in which they were written; a name without any is
// deleted. A document does not change: a change makes another one, so that there is nothing to undo
// when it cannot be saved.
type document struct {
	Serial      uint64                     `json:"serial"`
	Credentials map[credential.Name]record `json:"credentials"`
}

type record struct {
	Last     uint64    `json:"last"`
	Versions []version `json:"versions,omitempty"`
	Deleted  time.Time `json:"deleted,omitzero"`
}

type version struct {
	Number  uint64           `json:"number"`
	Created time.Time        `json:"created"`
	Fields  map[string]plain `json:"fields"`
}

// plain is a value on its way into the sealed file and out of it: the one place where a secret encodes
// as what it is.
type plain struct{ secret.Value }

// MarshalJSON implements [json.Marshaler], in base64, since a value may be any bytes.
func (p plain) MarshalJSON() ([]byte, error) { return json.Marshal(p.Reveal()) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *plain) UnmarshalJSON(text []byte) error {
	var b []byte
	if err := json.Unmarshal(text, &b); err != nil {
		return errors.New("a value is not base64") // the cause would quote it
	}
	p.Value = secret.New(b)
	return nil
}

func (d *document) encode() ([]byte, error) { return json.Marshal(d) }

// decode reads a document and holds it to what the methods below rely on. What it refuses was sealed with
// the right key and is thus a mistake of ours.
func decode(data []byte) (*document, error) {
	d := &document{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, unreadable("STORE_DAMAGED", "what was sealed is no document")
	}
	for name, r := range d.Credentials {
		ordered := slices.IsSortedFunc(r.Versions, func(a, b version) int { return int(a.Number) - int(b.Number) })
		if name.Check() != nil || !ordered || len(r.Versions) > 0 && r.latest().Number != r.Last {
			return nil, unreadable("STORE_DAMAGED", "what was sealed of %q is in disorder", name)
		}
	}
	return d, nil
}

func (r record) latest() version { return r.Versions[len(r.Versions)-1] }

// next returns a copy of d with another record for name.
func (d *document) next(name credential.Name, r record) *document {
	credentials := maps.Clone(d.Credentials)
	if credentials == nil {
		credentials = map[credential.Name]record{}
	}
	credentials[name] = r
	return &document{Serial: d.Serial + 1, Credentials: credentials}
}

// write returns a document in which fields are the latest version of name, with at most keep versions.
func (d *document) write(name credential.Name, fields credential.Fields, keep int, now time.Time) *document {
	r := d.Credentials[name]
	v := version{Number: r.Last + 1, Created: now.UTC(), Fields: map[string]plain{}}
	for field, value := range fields {
		v.Fields[field] = plain{value}
	}
	old := r.Versions[max(0, len(r.Versions)-keep+1):]
	return d.next(name, record{Last: v.Number, Versions: append(slices.Clone(old), v)})
}

// remove returns a document without name, and d itself when it holds none.
func (d *document) remove(name credential.Name, now time.Time) *document {
	r := d.Credentials[name]
	if len(r.Versions) == 0 {
		return d
	}
	after := d.next(name, record{Last: r.Last, Deleted: now.UTC()})
	after.prune()
	return after
}

// prune drops the names that were deleted first.
func (d *document) prune() {
	var gone []credential.Name
	for name, r := range d.Credentials {
		if len(r.Versions) == 0 {
			gone = append(gone, name)
		}
	}
	slices.SortFunc(gone, func(a, b credential.Name) int {
		return d.Credentials[b].Deleted.Compare(d.Credentials[a].Deleted)
	})
	for _, name := range gone[min(len(gone), maxForgotten):] {
		delete(d.Credentials, name)
	}
}

func (d *document) names(prefix credential.Name) (names []credential.Name) {
	for name, r := range d.Credentials {
		if len(r.Versions) > 0 && name.Within(prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (d *document) read(name credential.Name) (credential.Credential, error) {
	r := d.Credentials[name]
	if len(r.Versions) == 0 {
		return credential.Credential{}, credential.Unknown(name)
	}
	return r.latest().credential(name), nil
}

func (d *document) history(name credential.Name) (all []credential.Credential) {
	for _, v := range slices.Backward(d.Credentials[name].Versions) {
		all = append(all, v.credential(name))
	}
	return all
}

func (v version) credential(name credential.Name) credential.Credential {
	fields := make(credential.Fields, len(v.Fields))
	for field, value := range v.Fields {
		fields[field] = value.Value
	}
	return credential.Credential{Name: name, Version: v.Number, Fields: fields, Created: v.Created}
}
