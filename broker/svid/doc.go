// Package svid answers who we are today: our X.509-SVID, our JWT-SVIDs and the authorities of the trust
// domains that we know. They come from a SPIFFE Workload API, or from files, and are replaced without a
// restart.
//
// A [Source] holds one immutable state and swaps it by one pointer: a new SVID or bundle is read as a
// whole, checked, and then takes the place of the old one; what is broken or ended is logged and the old
// one kept. Bundles are kept by trust domain and never merged: who verifies a peer asks for the bundle of
// the domain that the peer names.
//
// go-spiffe's own sources wait for ever for a first answer, and give up for ever when a stream ends with
// Canceled. Here the first answer has a deadline that names the socket, and watching ends with
// [Source.Close] alone.
package svid
