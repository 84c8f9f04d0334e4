package svid

import (
	"bytes"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// same reports whether a and b hold the same: a Workload API sends everything again when a registration
// entry changes somewhere, and nobody should reconnect for that.
func same(a, b state) bool {
	return sameSVID(a.svid, b.svid) && sameX509(a.x509, b.x509) && sameJWT(a.jwt, b.jwt)
}

func sameSVID(a, b *x509svid.SVID) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && bytes.Equal(a.Certificates[0].Raw, b.Certificates[0].Raw)
}

func sameX509(a, b *x509bundle.Set) bool {
	if a.Len() != b.Len() {
		return false
	}
	for _, bundle := range a.Bundles() {
		if other, ok := b.Get(bundle.TrustDomain()); !ok || !bundle.Equal(other) {
			return false
		}
	}
	return true
}

func sameJWT(a, b *jwtbundle.Set) bool {
	if a.Len() != b.Len() {
		return false
	}
	for _, bundle := range a.Bundles() {
		if other, ok := b.Get(bundle.TrustDomain()); !ok || !bundle.Equal(other) {
			return false
		}
	}
	return true
}
