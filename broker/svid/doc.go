// Package svid answers who we are today: our X.509-SVID, our JWT-SVIDs and the authorities of the trust
// domains that we know, from a SPIFFE Workload API or from files, rotated without a restart.
package svid
