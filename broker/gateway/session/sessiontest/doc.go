// Package sessiontest is the contract of a session store, as tests: what a gateway relies on is here, and a
// store that passes may be used by one.
//
//	func TestContract(t *testing.T) {
//		sessiontest.Run(t, func(t *testing.T) sessiontest.Open { … })
//	}
package sessiontest
