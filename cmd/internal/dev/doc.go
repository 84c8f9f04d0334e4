// Package dev is the whole walk in one process on loopback, for a first look and for `dev --check`: a
// trust domain with a real SPIFFE Workload API, the credential broker with a sealed store, the gateway with an
// OpenID provider, and four demo services.
//
//	orders     the caller; it holds no credential, and a sidecar stands beside it
//	inventory  wants a token of ours for its own audience, and checks it against our JWKS
//	crm        a legacy API that wants Authorization: Basic
//	portal     a page in the browser, that holds no token
//
// Everything that it writes is in one directory. It attests nobody: whoever may open a socket in that
// directory is that workload. It is not for production.
package dev
