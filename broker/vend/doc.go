// Package vend hands out: stored credentials, leased, to those whom policy lets have them; and to each
// sidecar what it needs to know of the services.
//
// # Leases
//
// A credential is handed out when two papers agree, which different people review: the policy allows the
// caller `vend` on `credential/NAME`, and a service file says that the credential travels by `vend`. One
// that is there to be injected is never handed to an application, however wide a rule is, and neither is
// what nobody named, such as our own keys in the same store.
//
// A lease ends after the service's `ttl`, and never after the hard deadline of what was served: the
// moment up to which the store's last answer may be used at all. Holders ask again at two thirds of it,
// or up to a tenth earlier, so that those who began together do not come back together.
//
// # Sidecars
//
// A sidecar learns of every service that there is one of that name, how its credential travels, and under
// which name it is asked for: its audience or its credential. Where the service is, which networks that
// opens and what a token for it may carry it learns only where policy lets it have the token. With the
// names it can ask us, be refused with a decision id, and so tell an application why; a sidecar that took
// a denied service for an unknown one could not. Whoever has no SVID of an allowed trust domain learns
// nothing.
package vend
