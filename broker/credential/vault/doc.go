// Package vault keeps credentials in Vault or OpenBao: a KV version 2 engine, reached with our own SVID
// and with no other secret.
//
// # Logging in
//
// [JWT], the default, sends a JWT-SVID to auth/jwt; [Cert] presents the X.509-SVID to auth/cert. Vault is
// set up once, with our SPIFFE ID as the only thing that it must believe:
//
//	vault auth enable jwt
//	vault write auth/jwt/config jwks_url=https://broker.internal/.well-known/spiffe/jwks bound_issuer=...
//	vault write auth/jwt/role/intercom role_type=jwt user_claim=sub token_policies=intercom \
//	    bound_audiences=https://vault.internal:8200 bound_subject=spiffe://example.org/intercom-broker
//
// A certificate login needs a common name in the SVID, which SPIRE sets from the entry's first -dns.
//
// The policy wants read, create and update on MOUNT/data/PREFIX/*, and read, list and delete on
// MOUNT/metadata/PREFIX/*. A broker that only reads needs the first alone.
//
// # What Vault is asked, and how often
//
// One goroutine logs in, renews and logs in again; requests use what it has. So there is one login under
// way at most, whatever the callers do:
//
//   - At two thirds of the token's life, a tenth less at random, the token is renewed. An answer of 4xx is
//     final and leads to one login; other failures are tried again with backoff, and revoke nothing.
//   - A token that cannot be renewed, or whose renewals get shorter because its max TTL is near, is
//     replaced by a new login while it still works. The old one is left to end by itself, since requests
//     may be under way with it.
//   - When Vault answers 403, the token is looked up, at most once every two seconds. Only when that is
//     refused too is the token given up and the request sent again with a new one.
//   - A login that fails is tried again with backoff, up to 5 s when Vault is away and 30 s when it says
//     no. Meanwhile requests fail at once with the reason, or use the old token where it still holds.
//
// hashicorp/vault/api retries nothing here, and nothing of VAULT_* in the environment is used.
//
// # How it fails
//
// Each failure is a *fault.Error with one of the reasons of this package. The kinds matter to
// [credential.Cache]: fault.Unavailable is an outage, over which it carries its callers; fault.Internal is
// an answer (Vault knows us and says no, or does not know us), after which nothing is served that was
// kept.
//
// # Fields
//
// A field is a JSON string in Vault, readable there. Bytes that would not survive as one, because they are
// no UTF-8 or grow under JSON's escapes, are an object {"base64": "..."}. A field that somebody else
// wrote as a number, a boolean, an object or an array is read as its JSON text.
package vault
