// Package upstream is the gateway's way to the services: it streams a browser's request to one of a service's
// targets, and the answer back.
//
// # The way there
//
// A [Set] holds the connections, those of each service for itself. They are made anew only when the service's
// place or its timeout changes, so that a reload drops no request of any other. A service may have several
// targets: they take turns. Where a target cannot be connected to, the request goes to the next one, since
// nothing was sent and its body is untouched, and the target is left alone for a second; then one request tries
// it. After a connection stood, nothing is sent twice but what net/http itself knows to be lost on an idle one.
//
// # What passes
//
// A [Proxy] is one httputil.ReverseProxy with rules of its own for both ways. Nothing of the request decides
// where it goes: scheme, host and base path are the service file's, the path is the canonical one that was
// decided on, and the header is the caller's to build (hygiene.ForwardHeaders, and then what is injected). Of
// the browser's cookies those pass that the service file names, and never ours; see cookie.go.
//
// Statuses and bodies of the answer pass as they are. Interim answers stay behind, and of the head and
// the trailer what a service must not say for an origin that it shares with others: cookies that the file does
// not name, CORS, site-wide switches (Clear-Site-Data, Service-Worker-Allowed, HSTS, NEL) and words to caches
// and proxies on the way. An answer to a user is `private, no-store` unless the service made it private
// itself. A Location that leads to the service leads to its route; every other stays as it is, and none is
// followed.
//
// Bodies are streamed both ways and counted; a request's ends in 413 at the route's limit. Event streams, and
// all answers of unknown length, are flushed as they come. When the browser goes, the service is let go; when the
// session ends, so do its upgraded connections and event streams: see [Call].Opened.
package upstream
