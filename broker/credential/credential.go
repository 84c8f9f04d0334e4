// Package credential has the words for what a store keeps: a [Credential] is a few named secret fields
// under a [Name], in versions. [Store] is what a store must do; package credentialtest holds every store
// to it, sealed/ is the embedded one and vault/ is Vault and OpenBao. [Cache] stands before a store and
// carries its users over an outage, within a budget.
package credential

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// The limits that every store holds, so that what one accepts the other accepts too. A Vault on its own
// storage takes 1 MiB an entry; ours leave room for its JSON and base64.
const (
	MaxNameLen  = 255       // bytes of a Name
	MaxFields   = 64        // fields of one credential
	MaxFieldLen = 255       // bytes of a field's name
	MaxBytes    = 256 << 10 // bytes of all fields of one credential, names and values
)

// The reasons that any store may give; those of one store stand in its package.
const (
	ReasonUnknown = "CREDENTIAL_UNKNOWN" // with fault.NotFound
	ReasonExpired = "CREDENTIAL_EXPIRED" // with fault.Unavailable: the store has none that is still good
	ReasonInvalid = "CREDENTIAL_INVALID" // with fault.InvalidRequest: a bad name, or bad fields
	ReasonLimit   = "CREDENTIAL_LIMIT"   // with fault.TooLarge
)

// Name names a credential: segments of [a-z0-9._-] with "/" between, such as crm/login. The zero Name
// names nothing; as a prefix it means every name.
type Name string

// ParseName returns s as a Name. It refuses what some store or some file system would read otherwise
// than it is written: empty segments, "." and "..", upper case, and more than [MaxNameLen] bytes.
func ParseName(s string) (Name, error) {
	if err := Name(s).Check(); err != nil {
		return "", err
	}
	return Name(s), nil
}

// Check refuses what ParseName refuses. Stores call it, since a Name may also come from a conversion, and
// in a store that is reached by URL a ".." would leave the place that is ours.
func (n Name) Check() error {
	if n == "" || len(n) > MaxNameLen {
		return fault.Newf(fault.InvalidRequest, ReasonInvalid, "a credential's name has 1 to %d bytes, not %d", MaxNameLen, len(n))
	}
	for segment := range strings.SplitSeq(string(n), "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Trim(segment, segmentBytes) != "" {
			return fault.Newf(fault.InvalidRequest, ReasonInvalid,
				"%q is not a credential's name: want segments of a-z 0-9 . _ - with / between, as in crm/login", string(n))
		}
	}
	return nil
}

const segmentBytes = "abcdefghijklmnopqrstuvwxyz0123456789._-"

// Within reports whether n is prefix itself or stands below it. Prefixes end at segments: crm/login is
// within crm, crmx is not.
func (n Name) Within(prefix Name) bool {
	return prefix == "" || n == prefix || strings.HasPrefix(string(n), string(prefix)+"/")
}

// Fields are the parts of a credential by their names: username and password, token, value. Names are
// any printable UTF-8, values any bytes.
type Fields map[string]secret.Value

// Check refuses fields that some store could not keep.
func (f Fields) Check() error {
	if len(f) == 0 {
		return fault.New(fault.InvalidRequest, ReasonInvalid, "a credential has at least one field")
	}
	if len(f) > MaxFields {
		return fault.Newf(fault.TooLarge, ReasonLimit, "a credential has at most %d fields, not %d", MaxFields, len(f))
	}
	total := 0
	for name, value := range f {
		if name == "" || len(name) > MaxFieldLen || !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) {
			return fault.Newf(fault.InvalidRequest, ReasonInvalid, "a field's name is 1 to %d bytes of UTF-8 without control characters", MaxFieldLen)
		}
		total += len(name) + len(value.Reveal())
	}
	if total > MaxBytes {
		return fault.Newf(fault.TooLarge, ReasonLimit, "a credential has at most %d bytes, not %d", MaxBytes, total)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// Names returns the sorted names of the fields, which are no secret.
func (f Fields) Names() []string { return slices.Sorted(maps.Keys(f)) }

// Equal reports whether f and g have the same fields with the same bytes.
func (f Fields) Equal(g Fields) bool { return maps.EqualFunc(f, g, secret.Value.Equal) }

// LeaseID names a lease at the store; empty means that the credential is not leased.
type LeaseID string

// Credential is one version of what stands under a name.
type Credential struct {
	Name    Name
	Version uint64
	Fields  Fields
	// Created is when this version was written.
	Created time.Time
	// NotAfter ends the credential at its own service; zero means that it does not end by itself.
	NotAfter time.Time
	Lease    LeaseID
}

// Store keeps credentials. All methods may be called at the same time; errors are *[fault.Error], hold no
// value of any field, and wrap the context's error where that ended the call. A Store returns exactly
// the bytes that were written.
type Store interface {
	// Read returns the latest version, and fault.NotFound with [ReasonUnknown] where there is none.
	Read(ctx context.Context, name Name) (Credential, error)
	// Write makes fields the latest version and returns its number, one more than that of the version
	// before it. It keeps nothing of fields that the caller could still change.
	Write(ctx context.Context, name Name, fields Fields) (version uint64, err error)
	// Delete forgets all versions. To delete what is not there is no error.
	Delete(ctx context.Context, name Name) error
	// List returns, sorted, the names that are [Name.Within] prefix.
	List(ctx context.Context, prefix Name) ([]Name, error)
}

// Generational is an optional power of a [Store] that can tell cheaply whether anything in it changed:
// the number moves at the latest one second after a change, by whomever it was made. A [Cache] asks
// before each answer and takes nothing for fresh that is of an older generation.
type Generational interface {
	Generation() uint64
}

// Unknown is the failure of a store that has no credential of that name.
func Unknown(name Name) *fault.Error {
	return fault.New(fault.NotFound, ReasonUnknown, "there is no such credential").Because(unknown(name))
}

// unknown keeps the name for the log: callers of the egress door never sent it and do not learn it.
type unknown Name

func (n unknown) Error() string { return "no credential " + string(n) }
