// Package cache keeps what was fetched from the credential broker, so that an application's request
// seldom waits for it, and so that a broker that is away for a while is not noticed.
//
// # The life of a value
//
//	fetched ────────── due ─────────────────── Expires
//	   served: fresh    │ renewed in the background
//	                    │ served: stale, while the source is silent, until due + Stale
//
// A value is renewed when two thirds of its life are over, up to a tenth of the life earlier, so that
// a fleet that started together does not come back together. There is one flight per key, whoever asks
// and however many: the number of calls is bounded by the number of keys, not by the number of
// requests. The next value is there before the last one ends.
//
// # Failures
//
// A source that is silent (Unavailable, Timeout, Overloaded) says nothing about permission, so the
// value that is held is served on, within its budget and never past its end, and renewal is tried again
// with backoff and jitter. Every other failure is an answer (Denied, NotFound and their kin): the value
// is dropped at once, whatever is left of its life. The answer is repeated to whoever asks within the
// next second without asking the source again; that is also how fast a changed policy is seen.
//
// # What is not kept
//
// A key that nobody asked for since its last fetch is not renewed: it ends with its value. A key that
// is used seldom, less than once in a life, is therefore fetched when it is used; one that is used more
// often never waits. Keys that are held ([Cache.Hold]) are renewed whether used or not, and fetched again and
// again, with backoff, until they are there. The number of keys is bounded; the one that was
// not used for the longest time makes room, never a held one.
package cache
