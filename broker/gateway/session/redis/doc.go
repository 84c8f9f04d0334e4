// Package redis keeps sessions in Redis or Valkey, for as many gateways as there are.
//
//	ic:s:{HASH}        the session, or its tombstone; sealed
//	ic:a:{HASH}        its last activity; sealed
//	ic:l:{HASH}        who refreshes it, a random name with a lease
//	ic:i:KIND:NAME     sorted set of HASH by absolute end, KIND sid, sub or all
//	ic:t:KIND:NAME     a logout was verified: the iat of its token, in ms
//
// HASH is the SHA-256 of the session's id, and the hash tag that puts the first three on one node of a
// cluster: scripts touch only these. NAME is a SHA-256 over issuer and sid or subject. It keeps users'
// names out of keys, where monitoring tools show them; it is no secret from somebody who has the dump and
// guesses names.
//
// What is not sealed (names of hashes, times of logouts, locks) can be forged by whoever may write to the
// server. He can end sessions and delay refreshes with it; he cannot read one, make one or lengthen one.
//
// Every key has a time to live. The indexes are hints: what they name is loaded and looked at, and what is
// over is taken out by its score.
//
// Only ic:s: is listened to; see package kv for how changes are heard, and what it means when they are not.
package redis
