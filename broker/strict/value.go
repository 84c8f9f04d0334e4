package strict

import (
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Text returns the text of the scalar n. What YAML reads as something else, such as 123 or true, is
// refused: quoting it says that it is meant as text.
func Text(n *yaml.Node, want string) (string, error) {
	if errs := refuseNode(n); errs != nil {
		return "", errs
	}
	if n.Kind != yaml.ScalarNode {
		return "", mismatch(n, want)
	}
	if n.ShortTag() != "!!str" {
		e := mismatch(n, want)
		e.Message += ": put it in quotes if it is meant as text"
		return "", e
	}
	return n.Value, nil
}

// Duration is a length of time such as 15m or 1h30m. It is never negative.
type Duration time.Duration

// UnmarshalYAML implements [yaml.Unmarshaler].
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	const want = "a duration such as 15m"
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return mismatch(n, want)
	}
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return at(n, "want %s, got %s", want, quote(n.Value))
	}
	*d = Duration(v)
	return nil
}

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String implements fmt.Stringer.
func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes such as 64MiB, 512KiB or 1048576.
type Size int64

// UnmarshalYAML implements [yaml.Unmarshaler].
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	const want = "a size such as 64MiB"
	if tag := n.ShortTag(); n.Kind != yaml.ScalarNode || tag != "!!str" && tag != "!!int" {
		return mismatch(n, want)
	}
	for _, u := range [...]struct {
		suffix string
		bytes  int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}} {
		number, ok := strings.CutSuffix(n.Value, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil || v < 0 || v > (1<<62)/u.bytes {
			break
		}
		*s = Size(v * u.bytes)
		return nil
	}
	return at(n, "want %s, got %s", want, quote(n.Value))
}

// URL is an absolute URL with scheme and host. It holds no user or password: those are secrets, and
// secrets stand in files by reference only.
type URL struct{ url.URL }

// IsZero reports whether u is no URL.
func (u URL) IsZero() bool { return u.URL == (url.URL{}) }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (u *URL) UnmarshalYAML(n *yaml.Node) error {
	text, err := Text(n, "a URL such as https://ledger.internal")
	if err != nil {
		return err
	}
	if !strings.Contains(text, "://") {
		return noScheme(n, text)
	}
	parsed, err := url.Parse(text)
	switch { // url.Parse's own words would repeat the text
	case err != nil || parsed.Scheme == "" || parsed.Opaque != "":
		return at(n, "not a URL: want one such as https://ledger.internal")
	case parsed.User != nil:
		return at(n, "a URL holds no user and no password here: put them into the credential store")
	case parsed.Hostname() == "":
		return at(n, "the URL names no host")
	case parsed.Fragment != "" || strings.HasSuffix(text, "#"):
		return at(n, "a URL has no fragment here")
	}
	if port := parsed.Port(); port != "" || strings.HasSuffix(parsed.Host, ":") {
		if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
			return at(n, "want a port from 1 to 65535")
		}
	}
	u.URL = *parsed
	return nil
}

// noScheme says what is missing, and repeats the text only where it looks like an address.
func noScheme(n *yaml.Node, text string) error {
	e := at(n, "the URL has no scheme: want https:// or http:// before it")
	if u, err := url.Parse("https://" + text); err == nil && u.User == nil && u.Hostname() != "" && len(text) < maxWord {
		e.Suggestion = "https://" + text
	}
	return e
}

// Ref names where a secret is. The secret itself never stands in a file of ours.
type Ref struct {
	// Scheme is vault, file or env.
	Scheme string
	// Name is the path in Vault, the absolute path of the file, or the variable's name.
	Name string
	// Field is the field of a Vault secret; empty otherwise.
	Field string
}

// wantRef has no room for what was written instead: it may be the secret.
const wantRef = "a reference to a secret: vault:path#field, file:/path or env:NAME"

// IsZero reports whether r refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// String returns r as it stands in files.
func (r Ref) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.Field != "":
		return r.Scheme + ":" + r.Name + "#" + r.Field
	default:
		return r.Scheme + ":" + r.Name
	}
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (r *Ref) UnmarshalYAML(n *yaml.Node) error {
	text, err := Text(n, wantRef)
	if err != nil {
		return err
	}
	ref, why := parseRef(text)
	if why != "" {
		return at(n, "%s", why)
	}
	*r = ref
	return nil
}

// parseRef returns why text is no reference, in words that do not repeat it.
func parseRef(text string) (ref Ref, why string) {
	scheme, rest, found := strings.Cut(text, ":")
	ref = Ref{Scheme: scheme, Name: rest}
	switch {
	case found && scheme == "vault":
		var hash bool
		if ref.Name, ref.Field, hash = strings.Cut(rest, "#"); !hash || ref.Name == "" || ref.Field == "" {
			return Ref{}, "a reference to Vault names a path and a field: vault:path#field"
		}
	case found && scheme == "file":
		if !path.IsAbs(rest) {
			return Ref{}, "a reference to a file is an absolute path: file:/path"
		}
	case found && scheme == "env":
		if !isEnvName(rest) {
			return Ref{}, "a reference to the environment is a variable's name: env:NAME"
		}
	default:
		return Ref{}, "a secret may not stand here: want " + wantRef
	}
	return ref, ""
}

func isEnvName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
