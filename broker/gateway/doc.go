// Package gateway is the browser-facing module: a browser logs in once and reaches every service.
//
// This package is the assembly. [LoadConfig] reads the one file, [New] opens the parts and binds the doors,
// [Gateway.Run] serves:
//
//	route      which service is this request for?
//	session    which session does its cookie name?
//	login      if none: the OpenID provider, and back
//	bff        cookie in, the token of that service out; decided and recorded before
//	upstream   stream it there, and the answer back
//	logout     end it, from either side
//
// A gateway is a workload like any other: it has an SVID, and reaches credentials only through broker/client.
// It links no credential store. Whoever takes one over has the sessions that are alive, and nothing else.
//
// # What is shared
//
// Gateways share nothing but Redis or Valkey: sessions, their ends, logins under way, and the public halves of
// the keys with which they prove themselves to the provider. The private halves never leave their process.
//
// # The start and the end
//
// What cannot get better ends the start: a file that does not hold, a provider that is another one, Redis away.
// A provider, a broker or a policy that is not there yet does not; /readyz says which. At the end the door
// closes, streams are asked to go at once, and requests in flight are waited for within the grace.
package gateway
