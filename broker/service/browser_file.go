package service

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/strict"
)

// matches is what a browser may ask for: a path, a mapping, or a list of either.
type matches []match

type match struct {
	Host    string   `yaml:"host" doc:"The host of one of the gateway's origins; each of them where absent."`
	Path    string   `yaml:"path" required:"true" doc:"A pattern such as /orders/** (that path and all below), /orders/*/items or /orders."`
	Methods []string `yaml:"methods" doc:"The methods that are served; all where absent."`

	line, column int
}

type require struct {
	Login  *bool    `yaml:"login" doc:"Whether a user must have logged in; true where absent."`
	Groups []string `yaml:"groups" doc:"The user is in one of these groups."`
	Scopes []string `yaml:"scopes" doc:"The session holds all of these scopes."`
	ACR    []string `yaml:"acr" doc:"The login was of one of these authentication context classes; the first is asked for."`
}

type pass struct {
	Cookies    []string        `yaml:"cookies" doc:"Cookies of the browser that the service gets; none where absent."`
	SetCookies []string        `yaml:"set_cookies" doc:"Cookies that the service may set; none where absent."`
	Strip      string          `yaml:"strip" doc:"A prefix that is taken from the path, such as /orders."`
	BodyLimit  strict.Size     `yaml:"body_limit" doc:"The largest request body; 10MiB where absent."`
	Timeout    strict.Duration `yaml:"timeout" doc:"How long the service may take until its response head; 60s where absent."`
	Passive    bool            `yaml:"passive" doc:"Requests do not count as a user's activity, such as those that poll."`
}

// userToken is the word alone, or what more has to be said.
type userToken struct {
	Exchange *exchange  `yaml:"exchange" doc:"The provider exchanges the user's token for this audience."`
	Basic    *userBasic `yaml:"basic" doc:"Authorization: Basic, with a claim of the user as the name and a stored password."`

	kind UserKind
}

type exchange struct {
	Audience string   `yaml:"audience" required:"true" doc:"The audience that the provider is asked for."`
	Scope    []string `yaml:"scope" doc:"The scopes that the provider is asked for; its default where absent."`
}

type userBasic struct {
	Claim      string `yaml:"claim" required:"true" doc:"The claim that is the user's name for the service; one of the gateway's provider.claims."`
	Credential string `yaml:"credential" required:"true" doc:"The name of a stored credential with the field password, which the gateway may lease (vend)."`
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (m *matches) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		*m = make(matches, 1)
		return strict.Node(n, &(*m)[0])
	}
	if len(n.Content) == 0 {
		return strict.At(n, "match: an empty list reaches nothing: leave it out")
	}
	return strict.Node(n, (*[]match)(m))
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (m *match) UnmarshalYAML(n *yaml.Node) error {
	m.line, m.column = n.Line, n.Column
	if n.Kind == yaml.ScalarNode {
		path, err := strict.Text(n, "a path such as /orders/**")
		m.Path = path
		return errors.Join(err, m.check(n))
	}
	type plain match
	if err := strict.Node(n, (*plain)(m)); err != nil {
		return err
	}
	return m.check(n)
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (u *userToken) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		word, err := strict.Text(n, "one of mint, access_token and none")
		u.kind = UserKind(word)
		if known := []UserKind{UserMint, UserOwn, UserNone}; err == nil && !slices.Contains(known, u.kind) {
			err = strict.At(n, "user: want mint, access_token, none or a mapping with exchange or basic, got %.64q", word)
		}
		return err
	}
	type plain userToken
	if err := strict.Node(n, (*plain)(u)); err != nil {
		return err
	}
	switch {
	case (u.Exchange == nil) == (u.Basic == nil):
		return strict.At(n, "user: want mint, access_token, none or a mapping with one of exchange and basic")
	case u.Basic != nil:
		u.kind = UserBasic
		return checkCredential(strict.Field(strict.Field(n, "basic"), "credential"), u.Basic.Credential)
	}
	u.kind = UserExchange
	at := strict.Field(n, "exchange")
	return errors.Join(checkAudience(strict.Field(at, "audience"), u.Exchange.Audience, "audience"), checkScope(strict.Field(at, "scope"), u.Exchange.Scope))
}

func (m *match) check(n *yaml.Node) error {
	errs := []error{checkPattern(strict.Field(n, "path"), m.Path)}
	if host := m.Host; host != strings.ToLower(host) || strings.ContainsAny(host, "/@?# \t") || strings.HasSuffix(host, ".") {
		errs = append(errs, strict.At(strict.Field(n, "host"), "host: want the host of an origin in lower case, such as app.example.org or localhost:8443"))
	}
	for i, method := range m.Methods {
		if hygiene.CheckMethod(method) != nil {
			errs = append(errs, strict.At(strict.Field(n, "methods").Content[i], "methods: %.32q is not served here", method))
		}
	}
	return errors.Join(errs...)
}

// checkPattern holds the grammar of paths: what it allows is what a canonical path can be.
func checkPattern(n *yaml.Node, pattern string) error {
	base, _ := strings.CutSuffix(pattern, "/**")
	literal := strings.ReplaceAll(base, "/*/", "/x/")
	if rest, ok := strings.CutSuffix(literal, "/*"); ok {
		literal = rest + "/x"
	}
	literal = strings.ReplaceAll(literal, "/*/", "/x/") // of /*/*/ the first pass sees every other one
	if strings.Contains(literal, "*") {
		return strict.At(n, "path: * is one whole segment, and ** stands at the end: %.128q", pattern)
	}
	if clean, err := hygiene.CleanPath(literal); err != nil {
		return strict.At(n, "path: %.128q: %v", pattern, err)
	} else if clean != literal && literal != "" {
		return strict.At(n, "path: want the form in which paths arrive: %.128q", clean)
	}
	return nil
}

// checkBrowser holds what the parts for browsers want of each other.
func (e *entry) checkBrowser(n *yaml.Node) error {
	var errs []error
	refuse := func(key, format string, args ...any) {
		errs = append(errs, strict.At(strict.Field(n, key), format, args...))
	}
	if e.Match == nil {
		for key, given := range map[string]bool{"require": e.Require != nil, "pass": e.Pass != nil, "user": e.User != nil} {
			if given {
				refuse(key, "%s is for browsers, which reach the service only with a match", key)
			}
		}
		return errors.Join(errs...)
	}
	if e.Vend != nil {
		refuse("match", "match: a browser gets no credential, so it cannot reach a vend service")
	} else if e.Upstream.URL.IsZero() {
		refuse("match", "match wants an upstream")
	}
	if r := e.Require; r != nil && r.Login != nil && !*r.Login && len(r.Groups)+len(r.Scopes)+len(r.ACR) > 0 {
		refuse("require", "require: groups, scopes and acr are of users who have logged in")
	}
	errs = append(errs, e.Require.checkACR(strict.Field(n, "require")))
	if u := e.User; u != nil && e.Inject != nil && u.kind != UserNone {
		refuse("user", "user: the credential of this service is injected; leave it out, or the service gets two")
	}
	return errors.Join(append(errs, e.Pass.check(strict.Field(n, "pass")))...)
}

// checkACR refuses a level that no login could ask for: nobody could ever reach it.
func (r *require) checkACR(n *yaml.Node) error {
	if r == nil {
		return nil
	}
	var errs []error
	for i, acr := range r.ACR {
		if !IsACR(acr) {
			errs = append(errs, strict.At(strict.Field(n, "acr").Content[i], "require: acr: %.64q is no level that a login can ask for: want at most 128 bytes, and no spaces", acr))
		}
	}
	return errors.Join(errs...)
}

func (p *pass) check(n *yaml.Node) error {
	if p == nil {
		return nil
	}
	var errs []error
	for key, names := range map[string][]string{"cookies": p.Cookies, "set_cookies": p.SetCookies} {
		for i, name := range names {
			if !isCookieName(name) {
				errs = append(errs, strict.At(strict.Field(n, key).Content[i], "%s: %.64q is no cookie of a service's own", key, name))
			}
		}
	}
	if clean, err := hygiene.CleanPath(p.Strip); p.Strip != "" && (err != nil || clean != p.Strip || strings.HasSuffix(p.Strip, "/")) {
		errs = append(errs, strict.At(strict.Field(n, "strip"), "strip: want a path such as /orders, without a slash at its end"))
	}
	if p.Timeout.Std() > maxDuration {
		errs = append(errs, strict.At(strict.Field(n, "timeout"), "timeout: want at most %s", maxDuration))
	}
	return errors.Join(errs...)
}

// isCookieName refuses the prefixes of our own cookies, so that no service can read or set a session.
func isCookieName(name string) bool {
	lower := strings.ToLower(name)
	return (&http.Cookie{Name: name, Value: "x"}).Valid() == nil && len(name) <= 128 &&
		!strings.HasPrefix(lower, "__host-") && !strings.HasPrefix(lower, "__http-") && !strings.HasPrefix(lower, "__secure-")
}

// browser returns the model of what is for browsers, and nil when they cannot reach the service.
func (e *entry) browser(file, name string) *Browser {
	if e.Match == nil {
		return nil
	}
	b := &Browser{User: e.userToken(name)}
	for _, m := range e.Match {
		b.Matches = append(b.Matches, Match{Host: m.Host, Path: m.Path, Methods: m.Methods, Pos: fmt.Sprintf("%s:%d:%d", file, m.line, m.column)})
	}
	if r := e.Require; r != nil {
		b.Require = Require{Anonymous: r.Login != nil && !*r.Login, Groups: r.Groups, Scopes: r.Scopes, ACR: r.ACR}
	}
	if p := e.Pass; p != nil {
		b.Pass = Pass{
			Cookies: p.Cookies, SetCookies: p.SetCookies, Strip: p.Strip, BodyLimit: int64(p.BodyLimit),
			Timeout: time.Duration(p.Timeout), Passive: p.Passive,
		}
	}
	return b
}

// userToken returns what the service gets of the user: a token of ours where the service takes those.
func (e *entry) userToken(name string) UserToken {
	switch u := e.User; {
	case u != nil && u.kind == UserExchange:
		return UserToken{Kind: UserExchange, Audience: u.Exchange.Audience, Scope: u.Exchange.Scope}
	case u != nil && u.kind == UserBasic:
		return UserToken{Kind: UserBasic, Claim: u.Basic.Claim, Credential: u.Basic.Credential}
	case u != nil && u.kind == UserOwn:
		audience := name
		if e.Token != nil && e.Token.Audience != "" {
			audience = e.Token.Audience
		}
		return UserToken{Kind: UserOwn, Audience: audience}
	case u != nil:
		return UserToken{Kind: u.kind}
	case e.Inject != nil:
		return UserToken{Kind: UserNone}
	}
	return UserToken{Kind: UserMint}
}
