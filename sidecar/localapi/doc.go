// Package localapi answers what the application beside the sidecar wants: to call a service without
// holding a credential for it, or, where it must, to hold a token or a credential for a while.
//
// # Naming a service
//
// One door, on loopback or a Unix socket, takes three forms:
//
//	GET /inventory/items HTTP/1.1         the first segment of the path names the service,
//	Host: 127.0.0.1:4140                  and the rest is the path that the service sees
//
//	GET http://inventory/items HTTP/1.1   the host names the service: what users of http_proxy send,
//	Host: inventory                       and what gRPC sends over HTTP/2 without TLS with
//	                                      the authority `inventory`
//
//	GET /v1/token?audience=inventory      the sidecar's own: a token, or a credential,
//	Intercom-Request: 1                   for an application that must hold one
//
// Of http_proxy: curl reads the lower-case name only, and Go sends nothing for localhost or a loopback
// address through a proxy, so services are called by their names there.
//
// They cannot be mistaken for each other. A name is a single DNS label and is never `localhost` or `v1`
// (service files with such names are refused), so the door's own names (loopback addresses and localhost)
// name no service, and no service takes `/v1/` away. A port is not part of a name: it is left out, 80, or the
// door's own. CONNECT would hide the request from the one who is to put a credential into it, and is refused.
//
// # Who may ask
//
// Whoever reaches the door acts with the identity of the service beside it, so the door is for that service
// alone. A web page that somebody on the same machine has open can make a browser send requests here; each
// request that carries what only browsers send (`Origin`, `Sec-Fetch-*`), whatever the value, and each host
// that is neither ours nor a service's (DNS rebinding) is refused. What hands out tokens and credentials
// demands the header `Intercom-Request: 1` besides, which no page can add without asking first. Other
// processes of the host are kept out by a Unix socket with a list of user ids ([ListenUnix]); on loopback,
// everybody on the host is let in.
//
// # What happens to a request
//
// The request to the service is built anew from what may travel (package hygiene); an `Authorization` of
// the application's is replaced, cookies travel in neither direction. The service's mode decides the way:
//
//   - token: the sidecar calls the service itself, with a token from its cache. Where the service binds
//     tokens, the connection is made with the SVID that the token names in `cnf`, and with no other:
//     token and connections belong to one client.Conn. The dial guard holds, with the service's own list.
//   - inject: the request goes through a broker's egress door, which puts the credential in.
//   - vend: the application asks for the credential (`/v1/credential`) and calls the service itself.
//
// # Who the service is
//
// A service that shows an SVID must be of a trust domain that is allowed, by default our own, and must
// have the very SPIFFE ID where [Upstreams] names one. Without that, any workload of the trust domain that
// the network takes for the service could stand in for it; it would see the request, though a bound token
// would be of no use to it elsewhere. A service that shows an ordinary certificate must have one for the
// host in its URL, from the authorities of the system or those that are configured; where a SPIFFE ID is
// named, an ordinary certificate is never enough. Nothing turns verification off.
//
// # Tokens and credentials that are handed out
//
// A token that the application gets is never bound: the key that it would be bound to is not the
// application's. Asking for the token of a service that binds its tokens is refused, with the way to call
// it instead.
//
// # Failures
//
// A refusal is a problem (RFC 9457) that names the cure and, where policy decided, the decision id; to a
// gRPC caller it is the same as a status with details.
package localapi
