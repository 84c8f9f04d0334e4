package mtls

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestDomainLabelsAreBounded looks inside: the labels come from bundles, and a test with that many
// federated domains would take long to say the same.
func TestDomainLabelsAreBounded(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	labels := map[string]bool{}
	for i := range 10 * maxDomains {
		labels[m.label(fmt.Sprintf("d%d.test", i))] = true
	}
	if len(labels) != maxDomains+1 || !labels["other"] {
		t.Errorf("%d labels", len(labels))
	}
	if m.label("d0.test") != "d0.test" {
		t.Error("a domain that was named once is not named again")
	}
}
