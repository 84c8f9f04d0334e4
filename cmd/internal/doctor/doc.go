// Package doctor looks at a deployment with the deployment's own files, from where its processes run, and names the
// setting to change.
//
// A check answers one question and cannot hide another's answer: all of a round run side by side, each with its own
// deadline. What one round opens (our SVID, then the provider), the next uses; where it could not be opened, what stands
// on it is skipped, and says so.
//
//	round 1   who we are; what needs nobody: certificates, sites, origins
//	round 2   what is reached with that: upstreams, brokers, provider, Redis, Vault
//	round 3   what the provider thinks of us: client, redirects, logout, exchange
//	last      the clocks that were seen on the way
//
// Nothing that lasts is changed. What is tried is what harms nobody: a code that was never given, a key in Redis that
// lives for seconds, a login to Vault that is given back. What cannot be seen from here is said to be unseen.
package doctor
