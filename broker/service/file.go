package service

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/strict"
)

// document is a service file as it is written.
type document struct {
	Version  int              `yaml:"version" required:"true" doc:"The version of this format: 1." jsonschema:"enum=1"`
	Owner    string           `yaml:"owner" required:"true" doc:"The team that answers for these services."`
	Services map[string]entry `yaml:"services" required:"true" noun:"service" doc:"The services by name. A name is a DNS label: lower-case letters, digits and hyphens."`

	keys map[string]*yaml.Node
}

// entry is one service. The one-line form is its upstream alone.
type entry struct {
	Upstream upstream   `yaml:"upstream" doc:"Where the service is: an http or https URL, or a mapping with url or targets, and dial."`
	Token    *token     `yaml:"token" doc:"We mint a token for the service; this is what none of token, inject and vend means."`
	Inject   *inject    `yaml:"inject" doc:"The credential is put into the request on the way; the application never sees it."`
	Vend     *vend      `yaml:"vend" doc:"The application gets the credential, leased."`
	Match    matches    `yaml:"match" doc:"Which requests of browsers go to the service, through the gateway; none where absent."`
	Require  *require   `yaml:"require" doc:"Who may send them; every user who has logged in where absent."`
	Pass     *pass      `yaml:"pass" doc:"What travels beyond what always does."`
	User     *userToken `yaml:"user" doc:"What the service gets of the user: mint (a token of ours, the default), exchange, basic, access_token or none."`

	line bool
}

type upstream struct {
	URL     strict.URL     `yaml:"url" doc:"The base URL, http or https."`
	Targets []strict.URL   `yaml:"targets" doc:"In place of url: the base URLs of several instances, of one scheme and one path. The gateway takes turns; all others use the first."`
	Dial    []netip.Prefix `yaml:"dial" doc:"Networks that may be dialled beyond public and private ones, such as 127.0.0.0/8. An address in the URL opens nothing."`
}

type token struct {
	Audience string           `yaml:"audience" doc:"The audience that tokens are minted for; the service's name where absent."`
	Scope    []string         `yaml:"scope" doc:"The most that a token may carry; none where absent."`
	Bind     Bind             `yaml:"bind" jsonschema:"enum=svid,enum=none" doc:"svid binds tokens to the caller's certificate, the default for https upstreams; none makes them bearer tokens."`
	Stale    *strict.Duration `yaml:"stale" doc:"How long what is known of the service may be used while the broker does not answer; 10m where absent. A token itself never outlives its expiry."`
}

type vend struct {
	Credential string           `yaml:"credential" required:"true" doc:"The name of a stored credential, such as reports/db."`
	TTL        *strict.Duration `yaml:"ttl" doc:"The longest life of a lease; 15m where absent."`
	Stale      *strict.Duration `yaml:"stale" doc:"How long a credential may be handed out while the store does not answer; 10m where absent."`
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (d *document) UnmarshalYAML(n *yaml.Node) error {
	type plain document
	if n.Kind != yaml.MappingNode {
		return strict.Node(n, (*plain)(d))
	}
	if v := strict.Field(n, "version"); v != n && v.Value != "1" {
		// What follows may mean something else in another version: only this is said.
		return strict.At(v, "version: want 1, the only one there is")
	}
	errs := []error{strict.Node(n, (*plain)(d))}
	d.keys = map[string]*yaml.Node{}
	if services := strict.Field(n, "services"); services.Kind == yaml.MappingNode && services != n {
		for i := 0; i+1 < len(services.Content); i += 2 {
			key := services.Content[i]
			d.keys[key.Value] = key
			errs = append(errs, checkName(key))
		}
	}
	return errors.Join(errs...)
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (e *entry) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		e.line = true
		if err := strict.Node(n, &e.Upstream); err != nil {
			return err
		}
		return e.check(n)
	}
	type plain entry
	if err := strict.Node(n, (*plain)(e)); err != nil {
		return err
	}
	// What a one-line service has beside its line is for browsers: it is one line still.
	e.line = e.Token == nil && e.Inject == nil && e.Vend == nil && e.Match != nil && strict.Field(n, "upstream").Kind == yaml.ScalarNode
	return errors.Join(e.check(n), e.checkBrowser(n))
}

// parseFile returns the services of one file.
func parseFile(name string, data []byte) ([]*Service, error) {
	var d document
	if err := strict.Decode(name, data, &d); err != nil {
		return nil, err
	}
	services := make([]*Service, 0, len(d.Services))
	for key, e := range d.Services {
		n := d.keys[key]
		s := e.service(key, d.Owner, fmt.Sprintf("%s:%d:%d", name, n.Line, n.Column))
		s.Browser = e.browser(name, key)
		services = append(services, s)
	}
	return services, nil
}

// service returns the model of e, which has passed its check.
func (e *entry) service(name, owner, pos string) *Service {
	s := &Service{Name: name, Owner: owner, Pos: pos, line: e.line, Stale: DefaultStale}
	s.Upstream.Dial = e.Upstream.Dial
	for i := range e.Upstream.Targets {
		s.Upstream.Targets = append(s.Upstream.Targets, &e.Upstream.Targets[i].URL)
		s.Upstream.URL = s.Upstream.Targets[0]
	}
	switch {
	case e.Inject != nil:
		s.Mode, s.Inject, s.Stale = ModeInject, e.Inject.model(), or(e.Inject.Stale, DefaultStale)
	case e.Vend != nil:
		s.Mode, s.Stale = ModeVend, or(e.Vend.Stale, DefaultStale)
		s.Vend = &Vend{Credential: e.Vend.Credential, TTL: or(e.Vend.TTL, DefaultTTL)}
	default:
		s.Mode, s.Token = ModeToken, &Token{Audience: name, Bind: e.bind()}
		if t := e.Token; t != nil {
			s.Token.Scope, s.Stale = t.Scope, or(t.Stale, DefaultStale)
			if t.Audience != "" {
				s.Token.Audience = t.Audience
			}
		}
	}
	return s
}

// or returns the duration that was written, and otherwise the default: a written zero is not the default.
func or(d *strict.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Std()
}
