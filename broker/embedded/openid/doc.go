// Package openid is an OpenID provider on loopback, for `intercom dev` and for tests. No production binary
// links it: it keeps passwords in memory, attests nobody and forgets everything at its end.
//
// It stands in for a real one on the wire, and where the standards leave a choice it chooses what Keycloak
// 26 was seen to do, its odd words included, so that who is tested against it meets no surprise there:
//
//	GET  /.well-known/openid-configuration, /jwks   metadata (OpenID Connect Discovery 1.0), keys
//	POST /par                                       pushed authorization requests (RFC 9126)
//	GET  /authorize, POST /login                    code flow with S256 only (RFC 7636), `iss` in the answer (RFC 9207)
//	POST /token                                     authorization_code, refresh_token, token exchange (RFC 8693)
//	     /logout                                    RP-initiated, from there back-channel and front-channel
//	POST /revoke, /introspect, GET /userinfo        RFC 7009, RFC 7662, OpenID Connect Core 1.0, section 5.3
//
// # What hangs on what
//
// A login makes a session, which has a `sid` and lives as long as it is used and at most [Config.SessionMax].
// A client that got a code of a session holds a grant in it: the family of its refresh tokens. A refresh
// token that is used once too often ends its grant, and so does a code that comes twice (RFC 9700, sections
// 2.2.2 and 2.1.1); an access token is good here, though not for who only looks at its signature, while its
// grant is. The end of a session is told to its clients only when somebody asked for it: a session that was
// left idle, a revoked token and a disabled user are told to nobody.
//
// What goes wrong on purpose is not in here; package providertest wraps it around.
package openid
