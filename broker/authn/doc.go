// Package authn answers who is calling and how it was proven: it turns a request into an
// [identity.Principal], or refuses it as unauthenticated. Whether the caller may is not asked here.
//
// A caller proves itself in one of two ways. By the X.509-SVID of its connection, which package mtls
// verified at the handshake: [UnaryInterceptor], [StreamInterceptor] and [HTTP] put that Principal into
// the context, and refuse where there is none. Or, where TLS ends before us, by a JWT-SVID that a
// [Verifier] accepts. Headers that carry a certificate are never looked at. An OAuth client on the web door
// may use either or both: [Verifier.Client].
//
// A JWT-SVID is a bearer token: whoever holds it is the workload. So it counts only when we are its one
// audience and it ends within five minutes, and only from trust domains that are allowed by name. It may
// be used more than once while it lives, as its issuers cache it. Its text is no id: an ECDSA signature
// has a twin that verifies as well.
//
// A user is never a caller: it stands behind one. [Users] turns an access token of a configured OpenID issuer
// into an identity.User. Whatever else the same issuer signs with the same keys, an ID token or a logout
// token, is not one, nor is an access token that is meant for somebody else.
package authn
