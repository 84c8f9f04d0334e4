package localapi

import (
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
)

// TestBoundTokenEndsWithItsSVID looks inside: from outside, an SVID is replaced before it ends.
func TestBoundTokenEndsWithItsSVID(t *testing.T) {
	d, err := embedded.New(embedded.Config{SVIDLife: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Addresses: []string{"127.0.0.1:1"}, Source: d.Source(d.ID("/orders")), Brokers: tlsconfig.AuthorizeID(d.ID("/broker"))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	soon, late := time.Now().Add(10*time.Second), time.Now().Add(time.Hour)
	bound := tokenKey{conn: c.Conn()}
	if got := bound.end(late); !got.Equal(c.Conn().NotAfter()) {
		t.Errorf("a bound token ends at %v, its SVID at %v", got, c.Conn().NotAfter())
	}
	if got := bound.end(soon); !got.Equal(soon) {
		t.Errorf("a bound token lives longer than it says: %v", got)
	}
	if got := (tokenKey{}).end(late); !got.Equal(late) {
		t.Errorf("a bearer token ends at %v", got)
	}
}
