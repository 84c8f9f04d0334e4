package hygiene

import "strings"

// Error is why a request is refused. It holds nothing of the request, so that it can be sent and logged.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// The refusals of [CleanPath].
const (
	ErrPathForm     Error = "the path must begin with a slash"
	ErrPathEmpty    Error = "the path holds an empty segment"
	ErrPathDots     Error = "the path holds a dot segment"
	ErrPathChar     Error = "the path holds a backslash, a semicolon or a control character"
	ErrPathEncoded  Error = "the path holds an encoded slash, backslash, semicolon or control character"
	ErrPathEscaping Error = "the path holds a broken percent escape"
)

const upperHex = "0123456789ABCDEF"

// CleanPath returns the one canonical form of an escaped path, for matching and for forwarding alike: the path
// characters of RFC 3986, section 3.3 are written as they are, all others as %XX with capital digits. So each
// sequence of bytes has one form, and a rule on /docs:commit is a rule on /docs%3Acommit.
//
// For `:`, `@` and the sub-delimiters that is more than section 6.2.2.2 grants, which lets only unreserved
// characters be decoded: an upstream may tell /a%2Cb from /a,b, and cannot be told the former from here. Those
// that do are rare, servers that decode before they look are the rule, and a deny that an escape gets past is
// the worse error. Refusing instead would break all who write segments with encodeURIComponent.
//
// What parties may resolve differently is refused rather than resolved: empty and dot segments, encoded or not,
// slashes and backslashes that are encoded, backslashes, path parameters (`;`), and control characters. An
// empty path is "/".
func CleanPath(escaped string) (string, error) {
	if escaped == "" {
		return "/", nil
	}
	if escaped[0] != '/' {
		return "", ErrPathForm
	}
	if i := firstOdd(escaped); i < len(escaped) {
		var err error
		if escaped, err = normalise(escaped, i); err != nil {
			return "", err
		}
	}
	if err := checkSegments(escaped); err != nil {
		return "", err
	}
	return escaped, nil
}

// firstOdd returns the index of the first byte that normalise has to look at: none in most paths.
func firstOdd(p string) int {
	for i := range len(p) {
		if !isPathChar(p[i]) {
			return i
		}
	}
	return len(p)
}

func normalise(p string, from int) (string, error) {
	var b strings.Builder
	b.Grow(len(p) + 8)
	b.WriteString(p[:from])
	for i := from; i < len(p); i++ {
		c, encoded := p[i], p[i] == '%'
		if encoded {
			if i+2 >= len(p) || unhex(p[i+1]) < 0 || unhex(p[i+2]) < 0 {
				return "", ErrPathEscaping
			}
			c = byte(unhex(p[i+1])<<4 | unhex(p[i+2]))
			i += 2
		}
		switch {
		case isAmbiguous(c) && encoded, encoded && c == '/':
			return "", ErrPathEncoded
		case isAmbiguous(c):
			return "", ErrPathChar
		case isPathChar(c):
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String(), nil
}

// checkSegments looks at a normalised path, in which every dot is a dot.
func checkSegments(p string) error {
	for start := 1; ; {
		n := strings.IndexByte(p[start:], '/')
		last := n < 0
		if last {
			n = len(p) - start
		}
		switch segment := p[start : start+n]; {
		case segment == "" && !last:
			return ErrPathEmpty
		case segment == ".", segment == "..":
			return ErrPathDots
		}
		if last {
			return nil
		}
		start += n + 1
	}
}

func isAmbiguous(c byte) bool { return c < ' ' || c == 0x7f || c == '\\' || c == ';' }

func isUnreserved(c byte) bool {
	return isAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// isPathChar reports whether c stands in a path as it is: pchar without percent and semicolon, or a slash.
func isPathChar(c byte) bool {
	return isUnreserved(c) || strings.IndexByte("/!$&'()*+,=:@", c) >= 0
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}
