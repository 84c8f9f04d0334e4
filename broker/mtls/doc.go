// Package mtls answers whether the peer's SVID is good, on this very connection, and ends the connection
// when the SVID ends.
//
// # Verification
//
// [Server], [Web] and [Client] return TLS 1.3 configurations that verify in VerifyConnection: against the
// bundle of the trust domain that the peer's own SVID names, and no other, and then by an authorizer,
// which is an argument and never a default. VerifyPeerCertificate would be skipped on a resumed
// connection; VerifyConnection is not, and session tickets are off besides, so that a peer whose bundle
// or permission is gone does not come back on an old ticket.
//
// # Life of a connection
//
// A certificate that was good at the handshake does not stay good. Each door asks a connection to go at
// or before half of what remains of the peer's SVID (or of ours, when that is less: the peer ends the
// connection then), early enough for the peer to come back with its next one, and ends it at the peer's
// notAfter whatever is in flight, streams included.
//
//	handshake           half of the remaining life               notAfter
//	    |  calls ...            | asked to go: new calls           | ended
//	    |                       | use a new connection             |
//
// [ServeGRPC] asks by GOAWAY. grpc-go knows a maximum age only for a whole server, so there is one
// grpc.Server for each power of two of age, made when a connection first needs it, and connections are
// handed to the greatest age that still lies, with grpc-go's jitter of a tenth, within half of their
// remaining life. Its GOAWAY comes in two steps, so that no call is lost between them.
//
// [RenewAtHalfLife] asks by `Connection: close` on the next response, which HTTP/2 turns into a GOAWAY.
// net/http sends that in one step, and a request whose body cannot be sent again may cross it: a client
// that streams bodies uses a [Transport], which replaces its connections earlier by itself.
//
// # Refusals
//
// Handshakes are bounded in time and number, connections in number. Refusals are counted by a closed set
// of reasons and logged at a bounded rate; both name the trust domain where it is a known one that is not
// allowed, the counter none that a stranger made up.
package mtls
