// Package provider is the gateway's side of OpenID Connect: a confidential client that uses the code flow
// only, and believes nothing that it has not checked.
//
// # What one login passes through
//
//	AuthorizationURL   state, nonce and S256 challenge, fresh each time; pushed (RFC 9126) where that is asked for
//	  … the browser comes back …
//	Redeem             state, `iss` of the answer (RFC 9207), error; then the code; then the ID token
//	Refresh            new tokens; on failure an [Outcome] says what it means for the session
//	Exchange           an access token for one audience (RFC 8693)
//	EndSessionURL, Revoke, VerifyLogoutToken
//
// The [Transaction] between the first two is the caller's to keep, once, and bound to the browser that it was
// made for: this package compares, it does not remember.
//
// # The way to the provider
//
// Everything that is sent from behind goes through one function, which authenticates us, bounds time and size,
// follows no redirect and tells apart what a failure leaves open. That is why golang.org/x/oauth2 builds the
// authorization URL and the challenge here and does not send: its refresh takes no client assertion, and its
// errors do not tell a refused request from one whose answer was lost, which is the difference between going
// on and ending a session.
//
// The client proves itself by the strongest means that the provider takes: a JWT-SVID
// (draft-ietf-oauth-spiffe-client-auth), a key of its own (private_key_jwt), a secret.
//
// # When the provider is away
//
// A provider whose metadata names another issuer ends the start. One that cannot be reached does not:
// [Provider.Run] goes on asking, logins are fault.Unavailable until it answers, and sessions that exist need
// it for nothing before their access token ends. Whether it answers now [Provider.Answers] says, before a browser is
// sent to it.
package provider
