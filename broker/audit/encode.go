package audit

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on what one entry can hold. They are for the log's sake: what callers send is bounded at the
// doors, and a name is shorter than any of these.
const (
	// MaxString is how many bytes of one of an event's strings are kept; an ellipsis marks the cut.
	MaxString = 1024
	// MaxListed is how many members of a list are kept, each up to maxMember bytes.
	MaxListed = 32
	maxMember = 256
	// maxLine is longer than any line that these bounds, escaped, can lead to.
	maxLine = 256 << 10
)

const cutMark = "…"

// fields is a line in the making: JSON members, each followed by a comma but the last.
type fields []byte

func (f fields) key(name string) fields {
	if len(f) > 0 {
		f = append(f, ',')
	}
	f = append(f, '"')
	f = append(f, name...)
	return append(f, '"', ':')
}

func (f fields) text(name, value string) fields {
	if value == "" {
		return f
	}
	return appendString(f.key(name), value, MaxString)
}

func (f fields) list(name string, values []string) fields {
	if len(values) == 0 {
		return f
	}
	f = append(f.key(name), '[')
	for i, v := range values[:min(len(values), MaxListed)] {
		if i > 0 {
			f = append(f, ',')
		}
		f = appendString(f, v, maxMember)
	}
	return append(f, ']')
}

func (f fields) number(name string, value int64) fields {
	if value == 0 {
		return f
	}
	return strconv.AppendInt(f.key(name), value, 10)
}

func (f fields) count(name string, value uint64) fields {
	if value == 0 {
		return f
	}
	return strconv.AppendUint(f.key(name), value, 10)
}

func (f fields) flag(name string, value bool) fields {
	if !value {
		return f
	}
	return append(f.key(name), "true"...)
}

func (f fields) time(name string, value time.Time) fields {
	f = append(f.key(name), '"')
	f = value.UTC().Truncate(time.Microsecond).AppendFormat(f, time.RFC3339Nano)
	return append(f, '"')
}

// event appends the members of e, in the order in which Event declares them after time and kind.
func (f fields) event(e *Event) fields {
	f = f.time("time", e.Time).text("kind", string(e.Kind)).text("decision", e.Decision)
	f = f.text("subject", e.Subject).text("user", e.User).list("groups", e.Groups).list("actors", e.Actors)
	f = f.text("proof", e.Proof).text("action", e.Action).text("resource", e.Resource)
	f = f.flag("allow", e.Allow).text("rule", e.Rule).text("revision", e.Revision).text("trace", e.Trace)
	f = f.text("credential", e.Credential).count("version", e.Version).text("result", e.Result)
	return f.number("bytes", e.Bytes).number("duration", int64(e.Duration)).text("why", e.Why)
}

// appendString appends s as a JSON string of at most limit bytes before escaping. Whatever does not
// print is escaped, also beyond what JSON asks for (the C1 controls, line separators, the marks that turn
// the direction of text): a line of the log is one line in every terminal and says what it seems to say.
func appendString(b []byte, s string, limit int) []byte {
	cut := len(s) > limit
	if cut {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	b = append(b, '"')
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		b = appendRune(b, r)
		i += size
	}
	if cut {
		b = append(b, cutMark...)
	}
	return append(b, '"')
}

func appendRune(b []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case unicode.IsPrint(r): // U+FFFD, which stands for bytes that are not UTF-8, among them
		return utf8.AppendRune(b, r)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return appendEscape(appendEscape(b, high), low)
	default:
		return appendEscape(b, r)
	}
}

func appendEscape(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
