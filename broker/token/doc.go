// Package token is what we say and how a service hears it: access tokens in JWT form (RFC 9068), minted by
// the broker and verified by whoever is called with one.
//
// A service verifies with a [Verifier], which it may put before its handlers in one line; see the example of
// [Verifier.Handler]. This package links none of the broker's stores and no policy engine, so that any
// Go service can import it.
//
// A token is good when all of this holds:
//
//	size       at most 16 KiB
//	typ        at+jwt (RFC 9068, section 4), so that no other JWT of the same issuer passes for one
//	alg        ES256 or EdDSA, and the one that the key is for; the key, not the token, decides
//	crit       absent: we define no extension that one would have to understand (RFC 7515, 4.1.11)
//	kid        a key of the issuer's
//	iss, aud   the issuer that the service names, and the service itself
//	exp, iat   there, and within 30 s of the clock; nbf too where it is there
//	sub, client_id, jti   there
//	sub_id     absent for a workload; for a user an iss_sub that says the same as sub (RFC 9493)
//	cnf        absent, or the x5t#S256 of the certificate that the connection was made with (RFC 8705)
//	act        at most 8 actors (RFC 8693, section 4.1)
//
// The bytes of a token are not its identity: from an ES256 signature anybody can make its twin (s and n−s
// both verify). Whoever keeps a list of tokens keeps their jti.
package token
