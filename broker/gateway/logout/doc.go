// Package logout ends sessions, from either side.
//
//	POST /logout                a page of ours asks for it, with its CSRF token
//	GET  /logout?sid=           a link does, and proves by the session's public name that it was made for it
//	GET  /logout/return         the provider sends the browser back
//	GET  /logout/here           a page says that the provider was not told
//	POST /backchannel-logout    the provider says so (OpenID Connect Back-Channel Logout 1.0)
//	GET  /frontchannel-logout   a frame of the provider's says so (Front-Channel Logout 1.0), where that is on
//
// From another site no Strict cookie comes, which is not to say that nobody is logged in: the browser is asked once more, by
// a page of ours. What does not prove that the user wants it asks the user.
//
// # The order of a logout
//
// First the session ends here, on all gateways; then the browser is sent to the provider's end_session endpoint,
// with the ID token as hint, so that nobody is asked anything; and when it has been there, or the gateway ends before, the
// refresh token is taken back. A provider that does not answer keeps nobody logged in here, but the user is told that they may still
// be logged in there.
//
// A logout token is good for the session that it names, or for all of a user's, and for sessions that are being
// created at that moment. 200 means that the store has it and every gateway hears of it; until then it is 503,
// and tried again by ourselves, since providers call once.
package logout
