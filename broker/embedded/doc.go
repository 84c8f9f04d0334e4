// Package embedded is a trust domain on loopback: an authority that signs X.509-SVIDs and JWT-SVIDs, and a
// real SPIFFE Workload API that hands them out, for `intercom dev` and for tests.
//
// It stands in for SPIRE on the wire and nowhere else. It attests nobody: one socket is one identity, and
// whoever may open the socket (mode 0600) is that workload. Its keys live in memory and end with the
// process. No production binary links it.
//
// A [Domain] has one active authority and any number of older ones, which stay in its bundle so that what
// they signed is still verified. A rotation in two steps breaks no connection: [Domain.PrepareAuthority]
// lets everybody learn the next authority, [Domain.RotateAuthority] then signs with it. Alone,
// RotateAuthority does both at once, and a peer that has not heard of it yet refuses for a moment.
//
// Domains are federated one way: after a.Federate(b) the workloads of a see the bundle of b beside their
// own, never merged with it, and every later change of it.
package embedded
