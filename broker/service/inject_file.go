package service

import (
	"net/netip"

	"github.com/intercom-broker/intercom/broker/strict"
)

type inject struct {
	Basic       *credentialRef   `yaml:"basic" doc:"Authorization: Basic, from the credential's username and password."`
	Bearer      *bearer          `yaml:"bearer" doc:"Authorization: Bearer, from the store or minted."`
	Header      *headerRef       `yaml:"header" doc:"Any header, from the store."`
	OAuth2      *oauth2          `yaml:"oauth2" doc:"Authorization: Bearer, with a token of the service's own authorization server, by client credentials."`
	Query       *queryRef        `yaml:"query" doc:"A parameter of the query, from the store. Queries end in logs: prefer a header."`
	Certificate *credentialRef   `yaml:"certificate" doc:"A client certificate for the connections to an https upstream, from the credential's certificate and key, both PEM."`
	SigV4       *sigV4           `yaml:"sigv4" doc:"AWS Signature Version 4 over the request, from the credential's access_key_id, secret_access_key and session_token."`
	HMAC        *hmac            `yaml:"hmac" doc:"HMAC-SHA256 over method, path, query, chosen headers, time and body, with the credential's key."`
	Stale       *strict.Duration `yaml:"stale" doc:"How long a credential may be used while the store does not answer; 10m where absent."`
}

type credentialRef struct {
	Credential string `yaml:"credential" required:"true" doc:"The name of a stored credential, such as crm/login."`
}

type headerRef struct {
	Name       string `yaml:"name" required:"true" doc:"The header's name."`
	Prefix     string `yaml:"prefix" doc:"What stands before the value, such as 'Token '."`
	Credential string `yaml:"credential" required:"true" doc:"The name of a stored credential, such as crm/login."`
}

type queryRef struct {
	Name       string `yaml:"name" required:"true" doc:"The parameter's name. What a caller gives under that name is removed."`
	Credential string `yaml:"credential" required:"true" doc:"The name of a stored credential, with the field value or token."`
}

type bearer struct {
	Credential string `yaml:"credential" doc:"The name of a stored credential."`
	Mint       *mint  `yaml:"mint" doc:"Mint a token instead of reading one from the store."`
}

type mint struct {
	Audience string   `yaml:"audience" required:"true" doc:"The audience that the token is minted for."`
	Scope    []string `yaml:"scope" doc:"What the token carries; none where absent."`
}

type oauth2 struct {
	TokenURL   strict.URL        `yaml:"token_url" required:"true" doc:"The token endpoint, https."`
	Credential string            `yaml:"credential" required:"true" doc:"The name of a stored credential with client_id and client_secret."`
	Scope      []string          `yaml:"scope" doc:"The scope that is asked for; the server's default where absent."`
	Audience   string            `yaml:"audience" doc:"The audience that is asked for; none where absent."`
	Resource   []string          `yaml:"resource" doc:"The resources that are asked for (RFC 8707); none where absent."`
	Params     map[string]string `yaml:"params" doc:"Further parameters of the token request. Secrets do not belong here."`
	Auth       string            `yaml:"auth" jsonschema:"enum=basic,enum=post" doc:"How the client authenticates: basic, the default, or post for its id and secret in the body."`
	Dial       []netip.Prefix    `yaml:"dial" doc:"Networks that may be dialled for the token endpoint beyond public and private ones."`
}

type sigV4 struct {
	Credential string       `yaml:"credential" required:"true" doc:"The name of a stored credential with access_key_id, secret_access_key and perhaps session_token."`
	Region     string       `yaml:"region" required:"true" doc:"The region, such as eu-central-1."`
	Service    string       `yaml:"service" required:"true" doc:"AWS's name of the service, such as s3 or execute-api."`
	BodyLimit  *strict.Size `yaml:"body_limit" doc:"How long a body may be, which is read before the request is signed; 1MiB where absent. Over https, s3 streams without a limit."`
}

type hmac struct {
	Credential string       `yaml:"credential" required:"true" doc:"The name of a stored credential with the field key."`
	Header     string       `yaml:"header" doc:"The header that carries the signature; X-Signature where absent."`
	Timestamp  string       `yaml:"timestamp" doc:"The header that carries the time in seconds since 1970; X-Timestamp where absent."`
	Prefix     string       `yaml:"prefix" doc:"What stands before the signature, such as 'sha256='."`
	Headers    []string     `yaml:"headers" doc:"Further headers that are signed, such as content-type; host may be among them."`
	BodyLimit  *strict.Size `yaml:"body_limit" doc:"How long a body may be, which is read before the request is signed; 1MiB where absent."`
}

func (in *inject) model() *Inject {
	m := &Inject{Basic: in.Basic.model(), Certificate: in.Certificate.model()}
	if b := in.Bearer; b != nil && b.Mint != nil {
		m.Mint = &Mint{Audience: b.Mint.Audience, Scope: b.Mint.Scope}
	} else if b != nil {
		m.Bearer = &CredentialRef{Credential: b.Credential}
	}
	if h := in.Header; h != nil {
		m.Header = &HeaderRef{Name: canonicalHeader(h.Name), Prefix: h.Prefix, Credential: h.Credential}
	}
	if q := in.Query; q != nil {
		m.Query = &QueryRef{Name: q.Name, Credential: q.Credential}
	}
	if o := in.OAuth2; o != nil {
		m.OAuth2 = &OAuth2{
			TokenURL: &o.TokenURL.URL, Credential: o.Credential, Scope: o.Scope, Audience: o.Audience, Resource: o.Resource,
			Params: o.Params, Post: o.Auth == authPost, Dial: o.Dial,
		}
	}
	if s := in.SigV4; s != nil {
		m.SigV4 = &SigV4{Credential: s.Credential, Region: s.Region, Service: s.Service, BodyLimit: size(s.BodyLimit)}
	}
	if h := in.HMAC; h != nil {
		m.HMAC = &HMAC{
			Credential: h.Credential, Header: h.header(), Timestamp: h.timestamp(), Prefix: h.Prefix, BodyLimit: size(h.BodyLimit),
		}
		for _, name := range h.Headers {
			m.HMAC.Headers = append(m.HMAC.Headers, canonicalHeader(name))
		}
	}
	return m
}

func (c *credentialRef) model() *CredentialRef {
	if c == nil {
		return nil
	}
	return &CredentialRef{Credential: c.Credential}
}

func size(s *strict.Size) int64 {
	if s == nil {
		return DefaultSignedBody
	}
	return int64(*s)
}
