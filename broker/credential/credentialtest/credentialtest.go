// Package credentialtest is the contract of [credential.Store] as a test suite.
package credentialtest

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/credential"
)

// Run holds the stores that newStore returns to the contract. Each call of newStore gives an empty store.
func Run(t *testing.T, newStore func(t *testing.T) credential.Store) {
	t.Helper()
}
