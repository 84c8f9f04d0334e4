package gateway

import (
	"errors"
	"net/netip"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/strict"
)

// Origin is one origin that browsers reach us under, and which others may have to do with it. Every origin is
// written out: there are no patterns, so nothing is allowed by likeness.
type Origin struct {
	URL      string   `yaml:"url" required:"true" doc:"The origin as browsers write it, such as https://app.example.org."`
	CORS     []string `yaml:"cors" doc:"The other origins whose pages may call with the user's session."`
	Frames   []string `yaml:"frames" doc:"The origins whose pages may frame the silent login."`
	ReturnTo []string `yaml:"return_to" doc:"The other origins that a login or a logout may lead back to."`
	Home     string   `yaml:"home" doc:"Where a browser goes that names no place, as after a logout: a path, or a URL at one of return_to; / when absent."`
	Tokens   []string `yaml:"tokens" doc:"Audiences whose tokens pages of this origin and of cors may hold themselves, at GET /bff/token; none when absent, which is best: what a script can read, a script that should not be there can read too."`
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (o *Origin) UnmarshalYAML(n *yaml.Node) error {
	type plain Origin
	if err := strict.Node(n, (*plain)(o)); err != nil {
		return err
	}
	errs := checkOrigin(strict.Field(n, "url"), o.URL)
	for key, list := range map[string][]string{"cors": o.CORS, "frames": o.Frames, "return_to": o.ReturnTo} {
		for i, text := range list {
			errs = errors.Join(errs, checkOrigin(strict.Field(n, key).Content[i], text))
		}
	}
	return errs
}

func checkOrigin(n *yaml.Node, text string) error {
	if err := route.CheckOrigin(text); err != nil {
		return strict.At(n, "%v", err)
	}
	return nil
}

// Provider is where users log in.
type Provider struct {
	Issuer   string   `yaml:"issuer" required:"true" doc:"Its issuer URL, byte for byte as its metadata spell it."`
	ClientID string   `yaml:"client_id" required:"true" doc:"Our client_id."`
	Scopes   []string `yaml:"scopes" doc:"What is asked for at login, besides openid."`
	// Auth is empty for the strongest that the provider announces: a JWT-SVID, then a key of our own. With a
	// secret it is that.
	Auth   string     `yaml:"auth" doc:"How we prove who we are: svid, private_key_jwt or secret; when absent the secret if there is one, else the strongest that the provider announces."`
	Secret strict.Ref `yaml:"secret" doc:"Where the client secret is: vault:name#field (leased from the broker), file:/path or env:NAME."`
	CA     string     `yaml:"ca" doc:"A PEM file with the authorities that its certificate is verified with; the system's when absent."`
	PAR    bool       `yaml:"par" doc:"Push authorization requests also where the provider does not demand it."`
	Groups string     `yaml:"groups" doc:"The claim that lists a user's groups; groups when absent."`
	DPoP   bool       `yaml:"dpop" doc:"Bind each session's tokens to a key of its own (RFC 9449), so that nobody else can use them. The provider, and the services that get its tokens, must know DPoP."`
	Claims []string   `yaml:"claims" doc:"The claims that a session keeps, and that pages may see; none when absent."`
	// FrontChannel and LenientLogout are for providers that know no better.
	FrontChannel  bool `yaml:"front_channel" doc:"Let frames of the provider end sessions too (Front-Channel Logout 1.0)."`
	LenientLogout bool `yaml:"lenient_logout" doc:"Accept logout tokens without a typ of their own, from old providers."`
}

// Network is a network, or one address, in the file.
type Network struct{ netip.Prefix }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (n *Network) UnmarshalYAML(node *yaml.Node) error {
	text, err := strict.Text(node, "a network such as 10.0.0.0/8")
	if err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		n.Prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return strict.At(node, "want a network such as 10.0.0.0/8, got %.64q", text)
	case p.Bits() == 0:
		return strict.At(node, "%s is everybody: whoever reaches us could say who he is", text)
	case p != p.Masked():
		return strict.At(node, "%s has bits beyond its length: want %s", text, p.Masked())
	}
	n.Prefix = p
	return nil
}

// ID is a SPIFFE ID in the file.
type ID struct{ spiffeid.ID }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (i *ID) UnmarshalYAML(n *yaml.Node) error {
	text, err := strict.Text(n, "a SPIFFE ID such as spiffe://example.org/broker")
	if err != nil {
		return err
	}
	if i.ID, err = spiffeid.FromString(text); err != nil {
		return strict.At(n, "not a SPIFFE ID: %v", err)
	}
	return nil
}
