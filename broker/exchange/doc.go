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
package exchange
