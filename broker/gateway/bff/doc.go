// Package bff is the token handler: a cookie comes in, and the token of one service goes out. A page holds no
// token and learns none (draft-ietf-oauth-browser-based-apps, section 6.1).
//
// A request to a service goes nine steps, which the code numbers:
//
//  1. Hygiene. Method, path and upgrade are put into the one form that is decided on and forwarded.
//  2. Where to. The Host names one of our origins, and the path a route; nothing else of the request does.
//  3. A preflight is answered by the configuration alone.
//  4. Who. The cookie names a session, or there is none: a navigation is led to the login, a script is told 401
//     in words, who has sent a form in a page, and a store that does not answer is 503, never "nobody".
//  5. From where. What another site may have caused is refused ([CheckCSRF]).
//  6. What the route requires: groups, scopes, a level of the login.
//  7. May they? One question with two answers, for the gateway's own workload and for the user, of `call` on
//     service/NAME/METHOD/path: the same rules as for services that call each other.
//  8. With what. The session's access token is refreshed when it is due, and traded for what the service takes.
//  9. Stream.
//
// A proxy in front of services that this gateway does not carry may ask for the first seven by /authz (nginx's
// auth_request and what is like it), with the same answers.
//
// What is refused is said in problem documents with CORS headers, so that a page can read them, and to a person in a page.
package bff
