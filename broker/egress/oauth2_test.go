package egress_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// tokenServer is an authorization server whose tokens are numbered, and its URL.
func (d *door) tokenServer(t *testing.T, asked *atomic.Int64) string {
	t.Helper()
	flow := d.secureUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":300}`, asked.Add(1))
	})
	return strings.Split(flow, `"`)[1]
}

func oauth2Service(flow, url, more string) string {
	return "  crm:\n    upstream: " + flow + "\n    inject: { oauth2: { token_url: \"" + url + "\", credential: crm/client, dial: [127.0.0.0/8]" + more + " } }\n"
}

// TestTokenThatIsNotTaken: a new token is asked for, and the request goes out once more.
func TestTokenThatIsNotTaken(t *testing.T) {
	v, p, asked := newVault(t), newPicky("token-1"), &atomic.Int64{}
	v.put(t, "crm/client", "client_id", "intercom", "client_secret", "hunter2-hunter2")
	now := time.Now() // stands still
	d := newDoor(t, nothing, func(cfg *egress.Config) { cfg.Vender, cfg.Now = v, func() time.Time { return now } })
	_, flow := upstream(t, p.ServeHTTP)
	d.services(t, oauth2Service(flow, d.tokenServer(t, asked), ""))
	c := d.client(t, "http/1.1")
	for range 3 {
		if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 200 || asked.Load() != 1 {
			t.Fatalf("%d %s after %d tokens", a.StatusCode, a.Text, asked.Load())
		}
	}
	two := "token-2"
	p.accept.Store(&two)
	if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 200 || asked.Load() != 2 {
		t.Errorf("%d %s after %d tokens", a.StatusCode, a.Text, asked.Load())
	}
	three := "token-3" // within the same second: the 401 passes, and no token is asked for
	p.accept.Store(&three)
	if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 401 || asked.Load() != 2 {
		t.Errorf("%d %s after %d tokens", a.StatusCode, a.Text, asked.Load())
	}
}

// TestReloadKeepsTokens whose settings are the same, and no others.
func TestReloadKeepsTokens(t *testing.T) {
	v, asked := newVault(t), &atomic.Int64{}
	v.put(t, "crm/client", "client_id", "intercom", "client_secret", "hunter2-hunter2")
	d := newDoor(t, nothing, func(cfg *egress.Config) { cfg.Vender = v })
	_, flow := upstream(t, doortest.Echo)
	url := d.tokenServer(t, asked)
	c := d.client(t, "h2")
	for _, step := range []struct {
		services string
		want     int64
	}{
		{oauth2Service(flow, url, ""), 1}, {oauth2Service(flow, url, "") + nothing, 1}, {oauth2Service(flow, url, ", scope: [r]"), 2},
	} {
		d.services(t, step.services)
		if a := doortest.Do(t, c, "GET", "https://door.test/crm/"); a.StatusCode != 200 || asked.Load() != step.want {
			t.Errorf("%d after %d tokens, want %d", a.StatusCode, asked.Load(), step.want)
		}
	}
}
