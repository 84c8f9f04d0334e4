// Package keyring signs what we say, and tells the world how to check it.
//
// A replica's private keys live in its memory and never leave it: there is nothing to steal from a disk or
// a store, and a replica that ends takes its keys along. Their public halves are in a store that all
// replicas share, so that every replica's JWK set serves the keys of all, also of those that are gone.
//
//	      made, published     signs                       signs no more        forgotten
//	next ─────────────────▶ active ───────────────────▶ retired ───────────▶ ×
//	      MaxAge + Poll               Rotate                 TokenLife + skew
//
// A next key is known for MaxAge + Poll before it signs: for Poll until the last replica has read it, and
// for MaxAge until the last verifier has fetched it from one of them. The key of a first start signs as soon
// as the other replicas serve it, two seconds after it was published, since verifiers fetch once more when
// they meet a kid that they do not know, and must then find it at whichever replica they ask.
//
// Each key in the store says until when it counts. Its replica moves that ahead of time while it lives, a
// retired key's is the end of the last token that it signed, and a killed replica's key stays until what
// was said last, which is later. Whoever finds a key past its time removes it.
//
// While the store is away a replica goes on: it signs, serves its own keys and what it last knew of the
// others, and does not rotate, since nobody would know the next key. Only [Ring.Ready] tells.
package keyring
