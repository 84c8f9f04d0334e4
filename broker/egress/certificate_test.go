package egress_test

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestCertificateOfAnotherVersion holds that a new version means new connections, that the old version's end
// on their own, and that services do not share any.
func TestCertificateOfAnotherVersion(t *testing.T) {
	v := newVault(t)
	putPair := func(name string) {
		certificate, key := stack.NewPair(t, name)
		v.put(t, "legacy/mtls", "certificate", certificate, "key", key)
	}
	putPair("one")
	d := newDoor(t, nothing, func(cfg *egress.Config) { cfg.Vender = v })
	hold := make(chan struct{})
	var conns sync.Map // remote address to the name that it showed
	flow := d.clientUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		conns.Store(r.RemoteAddr, name)
		if r.URL.Path == "/held" {
			_, _ = io.WriteString(w, "begun ")
			_ = http.NewResponseController(w).Flush()
			<-hold
		}
		_, _ = io.WriteString(w, name)
	})
	mtls := "\n    inject: { certificate: { credential: legacy/mtls } }\n"
	d.services(t, "  one:\n    upstream: "+flow+mtls+"  two:\n    upstream: "+flow+mtls+"  bare: { upstream: "+flow+", token: { bind: none } }\n")
	c := d.client(t, "h2")
	for name, want := range map[string]string{"one": "one", "two": "one", "bare": "nobody"} {
		if a := doortest.Do(t, c, "GET", "https://door.test/"+name+"/"); a.Text != want {
			t.Errorf("%s showed %q: %d", name, a.Text, a.StatusCode)
		}
	}
	shared := 0
	conns.Range(func(any, any) bool { shared++; return true })
	if shared != 3 {
		t.Errorf("%d connections for three services", shared)
	}
	held, err := c.Get("https://door.test/one/held")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Body.Close() }()
	putPair("two")
	v.Doubt("legacy/mtls")
	if a := doortest.Do(t, c, "GET", "https://door.test/one/"); a.Text != "two" {
		t.Errorf("after the change: %q", a.Text)
	}
	close(hold)
	if b, err := io.ReadAll(held.Body); string(b) != "begun one" || err != nil {
		t.Errorf("the old connection: %q, %v", b, err)
	}
}
