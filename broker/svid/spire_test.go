package svid_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) { stack.Main(m) }

// TestRealSPIRE opens before the registration entry exists, as a broker does that starts with its cluster,
// and follows an agent through rotation and restart.
func TestRealSPIRE(t *testing.T) {
	spire := stack.StartSPIRE(t, "a.test", "b.test")
	a := spire.Domain("a.test")
	id := spiffeid.RequireFromString("spiffe://a.test/broker")
	opened := make(chan *svid.Source, 1)
	go func() {
		s, err := svid.Open(t.Context(), svid.Config{Socket: a.AgentSocket})
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	a.Entry(t, id.String(), stack.EntryOptions{TTL: 10 * time.Second, FederatesWith: []string{"b.test"}})
	s := <-opened
	if s == nil {
		return
	}
	t.Cleanup(func() { _ = s.Close() })
	own, err := s.GetX509SVID()
	if err != nil || own.ID != id {
		t.Fatalf("%v: %v", own, err)
	}
	if _, _, err := x509svid.Verify(own.Certificates, s); err != nil {
		t.Error(err)
	}

	token, err := s.FetchJWTSVID(t.Context(), "vault")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), s, []string{"vault"}); err != nil || token.ID != id {
		t.Errorf("%s: %v", token.ID, err)
	}
	raw, err := s.JWTKeys(id.TrustDomain())
	var set struct{ Keys []map[string]any }
	if err != nil || json.Unmarshal(raw, &set) != nil || len(set.Keys) == 0 || set.Keys[0]["use"] != nil || set.Keys[0]["kid"] == nil {
		t.Errorf("keys for Vault: %s, %v", raw, err)
	}

	b := spiffeid.RequireTrustDomainFromString("b.test")
	changesUntil(t, s, "the federated bundles", func() bool {
		_, err := s.GetX509BundleForTrustDomain(b)
		_, jerr := s.GetJWTBundleForTrustDomain(b)
		return err == nil && jerr == nil
	})

	first := serialOf(t, s)
	began := time.Now()
	for serialOf(t, s) == first && time.Since(began) < time.Minute {
		select {
		case <-s.Updated():
		case <-time.After(time.Second):
		}
	}
	if serialOf(t, s) == first {
		t.Error("an SVID of 20 s was not rotated within a minute")
	}
	t.Logf("rotated after %v", time.Since(began).Round(time.Second))
}
