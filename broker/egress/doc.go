// Package egress is the egress door: it streams a request to a service with the service's credential put
// in, and whoever asked never sees it.
//
// A request goes five steps, which [Handler.ServeHTTP] numbers:
//
//  1. Hygiene. Method, path and upgrade are put into the one form that is decided on and forwarded, and the
//     service is named: by a Host or :authority without a dot, or else by the first segment of the path.
//  2. Check. pep decides on `call` of service/NAME/METHOD/path… and records it. Without a record there is
//     no call.
//  3. Where to. Whether there is such a service is told only to those who may call it. A rule that denies
//     the credential, the audience, or the path with its last slash toggled stops the call here.
//  4. With what. The upstream's header is built from nothing: what may travel (package hygiene), then the
//     credentials (package inject), from the store or minted, never past their hard deadline. Signatures come
//     last and cover the others.
//  5. Stream. One httputil.ReverseProxy copies bodies as they come: HTTP/1.1, HTTP/2, server-sent events,
//     gRPC with its trailers, WebSocket. Nothing is buffered whole, but for a body that a signature covers,
//     up to the service's body_limit; and no redirect is followed.
//
// On the way back cookies, and every field in which the upstream repeats the credential, stay behind; bodies
// are not looked at, so a service that prints its own credential into its pages gives it away. Statuses and
// bodies of the upstream pass as they are, errors too. Ours are problem documents, or a status for a gRPC
// caller: 502 and 504 for the upstream's failures, with a reason and no address.
//
// # One act
//
// A request is one act from its first byte to its last, however long that is: a stream or an upgraded
// connection too. Its outcome is recorded when it ends. While it lasts it is known to [Handler.Run], which
// asks again for every act when the policy has changed, and breaks off those that it no longer allows.
//
// # The way to the upstream
//
// Each service has connections of its own, which change only when its place does. Package outbound dials them,
// past hygiene's guard, and verifies TLS, always. A client certificate from the store has connections of its
// own for each version.
//
// A request is sent again in two cases: by net/http, where the connection turned out to be closed and nothing
// was lost; and by us, once, where the upstream answered 401, the store or the authorization server then gave
// another version of what had been put in, and the body is still to be had. A gRPC status is no 401.
package egress
