package client_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
)

// TestWatchPolicy: a large policy comes through once, and after a broken stream the broker is told that it
// is held.
func TestWatchPolicy(t *testing.T) {
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	held, sizes := "", []int{}
	for resp, err := range c.WatchPolicy(t.Context(), func() string { return held }) {
		if err != nil {
			continue // the stream has ended, and is opened again
		}
		held, sizes = resp.GetRevision(), append(sizes, len(resp.GetArchive()))
		if len(sizes) == 2 {
			break
		}
	}
	if sizes[0] != 6<<20 || sizes[1] != 0 {
		t.Errorf("archives of %d bytes", sizes)
	}
}
