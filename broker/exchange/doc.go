// Package exchange trades: a caller's proof of identity, or a token that it was given, for a token that
// is good for one service and for a few minutes (RFC 8693, RFC 9068).
//
// Every exchange walks the same steps, which are numbered in [Service.Exchange]:
//
//  1. parse the request;
//  2. find the service by its audience, or by the origin that `resource` names;
//  3. verify the subject token, if there is one: without one the caller is the subject;
//  4. ask [pep.Point.Check] for `exchange` on `audience/NAME`, whether or not the service was found, so
//     that who may not have a token does not learn whether there is such a service;
//  5. narrow the scope: never wider than the service takes, nor than what the subject token held;
//  6. bind the token to the caller's certificate, where the service wants that;
//  7. mint it: it ends after five minutes and before any of the proofs that it rests on.
//
// # On behalf of another
//
// A caller with a subject token acts for its subject, and the new token says so: `sub` is the subject and
// `act` the caller (RFC 8693, section 4.1). That takes three decisions, since a caller must not borrow
// what the other has (the confused deputy), nor use a token that it merely got hold of:
//
//   - `exchange` on the target's audience, for the caller;
//   - `introspect` on the audience of the token itself, for the caller: whoever may look into tokens for
//     an audience is one of those for whom they are meant;
//   - `exchange` on the target's audience, for the subject.
//
// A subject that is the caller itself gains nothing by it, and needs the first only.
//
// # On behalf of a user
//
// The subject token may be an access token of an OpenID issuer, or a token of ours that names such a user.
// Then one decision takes two allows, for the caller and for the user (package policy). The new token's
// `sub` is the user's name as policies write it, as a URI, so that two issuers' users cannot be taken for
// each other; `sub_id` has its two parts (RFC 9493, section 3.2.2) for services that want them; and `groups`
// travels on whole or the token is not minted, since a rule may deny a group and the next exchange must know.
// Other claims do not travel: there a condition that reads them fails, and so denies, also one that asks
// whether there is one. A user whose issuer's token says no scope holds none.
//
// A subject token's `may_act` (RFC 8693, section 4.4) must name the caller; one that cannot be read names
// nobody. It is about the token that has it, and is not written into the new one: who may go on from there is
// the three decisions' to say. An actor token may be given and must be the caller's own: the caller has proven
// itself already, and a token that names another one would let whoever got hold of it act in that one's name.
package exchange
