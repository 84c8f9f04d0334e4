// Package hygiene decides what of a request may go on, before anybody decides whether it may. Every door
// that forwards uses it: what it lets through means the same to the policy, to us and to the upstream.
//
// # On the connection
//
// [Listener] and [Conn] read HTTP/1 heads before net/http does. net/http accepts, and quietly mends, what
// two parties may read differently (RFC 9112, sections 2.2, 5.2, 6.3 and 11.2): Content-Length beside
// Transfer-Encoding, bare LF, folded lines, an absolute target that names another host than Host. Here
// such a head is 400 and the end of the connection. HTTP/2 has no such doubts and passes untouched; an
// upgraded connection passes untouched from its 101 on.
//
// # In the request
//
// [CheckRequest] checks method, path, query, upgrade and the fields that must stand alone, and returns the one
// canonical path ([CleanPath]) that is both matched and forwarded: of all ways to escape the same bytes one.
// The query is nobody's to interpret on the way, so it is forwarded byte for byte, `;` and broken escapes
// included: changing it silently would be worse than either refusing or keeping it. Only what would end it, or
// the line that it is written into, is refused: spaces, `#`, control characters, bytes beyond ASCII.
//
// # In the upstream request
//
// [ForwardHeaders] fills an empty header; nothing is inherited from the original. What it copies is not an
// allow-list: a list of names would break each of a hundred services in its own way (Idempotency-Key,
// Stripe-Version, SOAPAction, tenant_id, Mcp-Session-Id). The rule is a shape and a set of closed families. A
// field travels when its folded name (lower case, `_` and `.` read as `-`, as CGI, WSGI and PHP read them) is
// letters, digits and dashes, at most 128 of them, and belongs to no family by which proxies speak to services
// about connection, origin, client, method, path or identity. Most families are closed by their first words,
// so that the next X-Forwarded-Something is closed already. The names that the caller of ForwardHeaders
// manages itself stay behind under every spelling. Who only judges a request that others carry asks [Claim].
//
// The families are those that we know of. A field of a service's own devising, Acme-Employee, say, travels from
// the caller as it is: a service that believes it must not believe it of requests that come through Intercom.
package hygiene
