// Package mtls answers whether the peer's SVID is good, on this very connection, and ends the connection
// when the SVID ends.
package mtls
