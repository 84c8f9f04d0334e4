// Package inject puts a credential into a request: one sort in a file. It keeps nothing between requests but
// tokens ([Tokens]), and reads no body.
//
//   - Basic (RFC 7617), Bearer (RFC 6750, section 2.1), and any header with a prefix: [Apply], [Bearer].
//   - A parameter of the query, [Query], in place of all that the caller gave under that name.
//   - A token that the service's own authorization server gives for client credentials (RFC 6749, section
//     4.4): [Tokens]. Nothing of what that server answers reaches a caller but the token's effect.
//   - A client certificate: [Certificate].
//   - Signatures, AWS's [SigV4] and [HMAC]. They come last and cover what the others put in.
//
// What stands in a header must not be able to end it: a credential with a control character is refused,
// never repaired, since a password with its newline cut off is another password.
//
// # What HMAC signs
//
// The signature is the HMAC-SHA256 (RFC 2104), in lower-case hexadecimal, of these lines joined by a newline,
// without one at the end:
//
//	intercom-hmac-v1
//	the method
//	the path as it is sent, escaped
//	the query as it is sent, without the question mark; empty where there is none
//	the time: seconds since 1970, as in the timestamp header
//	for each chosen header, in the file's order: its lower-case name, a colon, its values joined by a comma
//	the SHA-256 of the body, in lower-case hexadecimal
//
// The key is the bytes of the credential's field as they are. None of the lines can hold a newline, and their
// number is the file's, so no two requests share a form, but for one thing: a header that is absent counts as
// one that is empty. `host` is the Host that is sent. A receiver computes the same over what arrived, compares
// in constant time, and refuses a time that is far from its own; the examples are in testdata/hmac.txtar.
//
// # What SigV4 signs
//
// Every field that is sent, but those that a hop may change, and the path and the query in the form in which
// AWS writes them again before it compares: they are sent in that form, so what is signed is what arrives. s3
// over TLS signs UNSIGNED-PAYLOAD and streams; all else is signed with the hash of the body.
package inject
