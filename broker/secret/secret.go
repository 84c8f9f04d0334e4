// Package secret holds bytes that cannot print.
//
// A type with String and LogValue methods over a byte slice still leaks from an unexported field of
// another struct: fmt cannot call methods there and prints the bytes. [Value] therefore keeps its bytes
// behind a closure, of which fmt can print no more than an address, and answers every verb with
// [Redacted] where its methods can be called.
//
// The bytes leave in one way only: [Value.Reveal]. Searching for its callers finds every place where a
// secret touches a wire.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a Value prints as, whatever the verb or the encoder.
const Redacted = "[redacted]"

// Value is a secret. The zero Value is empty and holds nothing. A Value must not be compared with ==;
// use [Value.Equal].
type Value struct {
	bytes func() []byte
}

// New returns a Value over b, which the caller gives away and must not change afterwards.
func New(b []byte) Value { return Value{bytes: func() []byte { return b }} }

// FromString returns a Value that holds the bytes of s.
func FromString(s string) Value { return New([]byte(s)) }

// Reveal returns the bytes themselves, not a copy. Call it where the secret is put on the wire or into
// its sealed file, and nowhere else.
func (v Value) Reveal() []byte {
	if v.bytes == nil {
		return nil
	}
	return v.bytes()
}

// IsZero reports whether v holds no bytes.
func (v Value) IsZero() bool { return len(v.Reveal()) == 0 }

// Equal compares in constant time for values of the same length.
func (v Value) Equal(w Value) bool { return subtle.ConstantTimeCompare(v.Reveal(), w.Reveal()) == 1 }

// Format implements [fmt.Formatter], so that no verb reaches the bytes.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// String implements [fmt.Stringer] for code that calls it directly.
func (v Value) String() string { return Redacted }

// LogValue implements [slog.LogValuer].
func (v Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText implements [encoding.TextMarshaler]; JSON and YAML encoders use it.
func (v Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. What was redacted cannot come back: reading the
// placeholder as if it were the secret would store it as one.
func (v *Value) UnmarshalText(text []byte) error {
	if string(text) == Redacted {
		return errors.New("secret: refusing to read the placeholder of a redacted value")
	}
	*v = New(append([]byte(nil), text...))
	return nil
}

// GobEncode refuses: gob is for caches and queues, where secrets do not belong.
func (v Value) GobEncode() ([]byte, error) {
	return nil, errors.New("secret: a secret value is not encoded with gob")
}
