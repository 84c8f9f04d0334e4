package egress_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// TestHostNamesTheService also where there is none of that name: the path is the service's own then, and
// its first segment may be the name of another.
func TestHostNamesTheService(t *testing.T) {
	var reached atomic.Int64
	_, flow := upstream(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	d := newDoor(t, "  inventory:\n    upstream: "+flow+"\n    inject: { basic: { credential: crm/login } }\n")
	tests := map[string]struct {
		status int
		code   string
	}{
		"crm": {404, "SERVICE_UNKNOWN"}, "CRM:443": {404, "SERVICE_UNKNOWN"}, "door": {404, "SERVICE_UNKNOWN"},
		"crm.": {400, "SERVICE_NOT_NAMED"}, "c_m": {400, "SERVICE_NOT_NAMED"},
		"inventory": {200, ""}, "localhost": {200, ""}, "LocalHost:1": {200, ""}, "10.0.0.1": {200, ""}, "10.0.0.1:8443": {200, ""},
		"[::1]": {200, ""}, "[::1]:8443": {200, ""}, "broker.test": {200, ""}, "broker.test.:1": {200, ""},
	}
	doortest.Protocols(t, func(t *testing.T, proto string) {
		client := d.client(t, proto)
		for host, want := range tests {
			reached.Store(0)
			a := doortest.Do(t, client, "GET", "https://"+d.addr+"/inventory/secret-of-crm", func(r *http.Request) { r.Host = host })
			if a.StatusCode != want.status || want.code != "" && a.Problem(t).Code != want.code {
				t.Errorf("%s: %d %s, want %+v", host, a.StatusCode, a.Text, want)
			}
			if (reached.Load() == 1) != (want.status == 200) {
				t.Errorf("%s: inventory was reached %d times", host, reached.Load())
			}
		}
	})
}
