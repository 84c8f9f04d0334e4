package service

import (
	"net/netip"
	"net/url"
	"slices"
)

// DefaultSignedBody is how long a body may be that a signature covers, where a file does not say.
const DefaultSignedBody = 1 << 20

// The header fields of an HMAC signature, where a file does not name others.
const (
	DefaultSignatureHeader = "X-Signature"
	DefaultTimestampHeader = "X-Timestamp"
)

// Inject says what is put into a request: one kind, or several that set different parts of it.
type Inject struct {
	// Basic is `Authorization: Basic` from the fields username and password.
	Basic *CredentialRef
	// Bearer is `Authorization: Bearer` from the store.
	Bearer *CredentialRef
	// Mint is `Authorization: Bearer` with a token that is minted for the service.
	Mint *Mint
	// Header is any header from the store.
	Header *HeaderRef
	// OAuth2 is `Authorization: Bearer` with a token that the service's own authorization server gave.
	OAuth2 *OAuth2
	// Query is a parameter of the query from the store.
	Query *QueryRef
	// Certificate is the client certificate of the connections to the service, from the fields certificate
	// and key.
	Certificate *CredentialRef
	// SigV4 and HMAC sign the request and everything that the others put into it. At most one is set.
	SigV4 *SigV4
	HMAC  *HMAC
}

// Credentials returns the names of the stored credentials, each once and in the order in which they are put
// in: none when the token is minted.
func (in *Inject) Credentials() (names []string) {
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, ref := range []*CredentialRef{in.Certificate, in.Basic, in.Bearer} {
		if ref != nil {
			add(ref.Credential)
		}
	}
	if in.Header != nil {
		add(in.Header.Credential)
	}
	if in.OAuth2 != nil {
		add(in.OAuth2.Credential)
	}
	if in.Query != nil {
		add(in.Query.Credential)
	}
	if in.SigV4 != nil {
		add(in.SigV4.Credential)
	}
	if in.HMAC != nil {
		add(in.HMAC.Credential)
	}
	return names
}

// CredentialRef names a stored credential.
type CredentialRef struct {
	Credential string
}

// HeaderRef names a stored credential and the header that carries it.
type HeaderRef struct {
	// Name is in canonical form.
	Name string
	// Prefix stands before the value, such as "Token "; mostly empty.
	Prefix     string
	Credential string
}

// QueryRef names a stored credential and the parameter that carries it.
type QueryRef struct {
	Name       string
	Credential string
}

// Mint says which token is minted and put into the request.
type Mint struct {
	Audience string
	Scope    []string
}

// OAuth2 says where and how a token is asked for with the client credentials grant (RFC 6749, section 4.4).
type OAuth2 struct {
	// TokenURL is https; it may have a query.
	TokenURL *url.URL
	// Credential has the fields client_id and client_secret.
	Credential string
	Scope      []string
	// Audience is asked for where it is not empty. It has no RFC of its own, and many servers want it.
	Audience string
	// Resource are the parameters of RFC 8707.
	Resource []string
	// Params are further parameters of the request.
	Params map[string]string
	// Post sends the client's secret in the body instead of as Basic (RFC 6749, section 2.3.1).
	Post bool
	// Dial are the networks that the dial guard opens for the token endpoint.
	Dial []netip.Prefix
}

// SigV4 says how a request is signed with AWS Signature Version 4.
type SigV4 struct {
	// Credential has the fields access_key_id and secret_access_key, and for temporary ones session_token.
	Credential string
	Region     string
	// Service is AWS's name of the service, such as s3 or execute-api.
	Service string
	// BodyLimit is how long a body may be that has to be read first.
	BodyLimit int64
}

// HMAC says how a request is signed with a shared key, in the form that package inject describes.
type HMAC struct {
	// Credential has the field key.
	Credential string
	// Header carries the signature after Prefix, Timestamp the time; both are in canonical form.
	Header, Timestamp string
	Prefix            string
	// Headers are further fields that are signed, in canonical form.
	Headers []string
	// BodyLimit is how long a body may be.
	BodyLimit int64
}
