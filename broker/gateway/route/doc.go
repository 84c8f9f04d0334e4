// Package route finds the service that a browser's request is for.
//
// Routes come from the service files: a service is reached by the matches that its file gives it, and by
// nothing else. A [Table] is made whole of one catalogue and never changes; a reload makes the next one.
//
// A match names a host, a path and methods. The most specific one that serves the request wins, never the
// order of files:
//
//  1. The path, segment by segment from the left: a literal before `*`, and both before `/**`.
//  2. Of the same path, the one that names the host before one for every origin.
//  3. Of the same path and host, the one that names methods before one for all.
//
// A match that does not serve the method leaves the request to the next one, as in net/http's ServeMux: what
// nobody serves is not found, or not allowed where another method would be (RFC 9110, section 15.5.6).
// Two matches that are alike in all three are refused when the files are read, with both places.
//
// The path is hygiene's canonical one, the same that is decided on and forwarded. Hosts are compared with
// their port, as browsers send it.
package route
