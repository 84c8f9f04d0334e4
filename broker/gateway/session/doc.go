// Package session keeps what the gateway knows of a browser that logged in. The browser holds an opaque
// 256-bit id and nothing else; all the rest is here, and stays on the server.
//
// # The words
//
// An [ID] is the cookie's value, and is never stored: its [Hash] is the key of everything. A [Session] is
// who logged in, until when, and the tokens. An [Ended] session says why it is over; as a tombstone it
// stands where the session stood, so that a write that comes late finds it and loses. A [Logout] is what a
// verified logout token asks for.
//
// # The stores
//
// A [Store] creates, loads, replaces by compare-and-swap, and ends. What else a shared store must do is in
// small interfaces beside it, and [Shared] is all of them: [Memory] here for one process, session/redis for
// many. Package sessiontest holds both to one contract. Every atomic step touches keys of one session
// only; that is all that a cluster can do, and the order of the steps does the rest:
//
//	create   index by sid and sub → write the session, unless its key is taken → read the tombstones of
//	         sid and sub → if there is one, end the session again
//	logout   write the tombstone of sid or sub → read the index → end each session in it
//
// Whichever way the two interleave, either the logout finds the session in the index, or the creation finds
// the tombstone. A session that is ended before it is written cannot be written any more.
//
// # The manager
//
// A [Manager] is what the gateway talks to. It keeps decoded sessions in memory and drops them when the
// store says that they changed; the store says so to every process within milliseconds, or says within a
// second that it can no longer be heard. Then everything is dropped, and whoever asks gets
// [fault.Unavailable], never "nobody is logged in": a browser that is sent to log in because Redis restarts
// comes back in a loop.
//
// Whether a session is over is judged from its own times and a clock that is handed in; the store's time to
// live only removes rubbish. The last activity has a key of its own and is written in the background, at
// most once per max(30 s, idle/20): as a part of the session it would make every request a write, and every
// write would empty the others' caches.
//
// # Refresh
//
// [Manager.Fresh] refreshes on use, never by a timer, which would keep the provider's session alive for
// ever. Past 80 % of the access token's life it happens in the background; when the token has expired the
// request waits. One flight per session in the process, one lock per session in the store, renewed while
// the call runs; who gets the lock reads the session again, and only calls when nobody else has refreshed
// it. The new tokens are written by compare-and-swap before anybody gets them, so a lock that was lost in
// the meantime does no harm. Four outcomes:
//
//	refreshed   written, served
//	refused     the grant ended ([fault.InvalidGrant]): the session ends
//	unknown     sent, and no whole answer came ([fault.Timeout]): the provider may have rotated the token.
//	            Served until the access token expires, then tried once more, then the session ends
//	transient   everything else: kept, tried again after a pause, which [Manager.Retry] ends; once expired, Unavailable
package session
