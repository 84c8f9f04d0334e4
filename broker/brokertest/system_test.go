package brokertest_test

import (
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// TestWholeSystem runs the real binaries on real SPIRE and real Vault: two federated trust domains, two
// brokers of one identity, and a sidecar in each trust domain. The subtests build on each other and run
// in this order.
func TestWholeSystem(t *testing.T) {
	w := newSystem(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"an allowed call by minted token", w.callByToken},
		{"an allowed gRPC call by bound token", w.callByBoundToken},
		{"an allowed call by injected Vault credential", w.callByInjection},
		{"a denied call, with its decision explained", w.callDenied},
		{"a caller of a foreign trust domain is refused", w.foreignCaller},
		{"a federated caller is let in where a rule names it", w.federatedCaller},
		{"the policy changes while running", w.policyChanges},
		{"SVIDs rotate under load without a failed call", w.rotateUnderLoad},
		{"Vault is sealed and unsealed while running", w.sealVault},
		{"a replica is killed, its tokens are still verified", w.killReplica},
		{"the broker is killed under load, no grant is lost", w.killUnderLoad},
		{"no planted credential shows anywhere", w.nothingLeaked},
	} {
		if !t.Run(step.name, step.run) {
			w.showLogs(t)
			return
		}
	}
}
