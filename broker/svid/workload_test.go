package svid_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// The methods of a Source are go-spiffe's, and an embedded one can stand in for it.
var (
	_ x509svid.Source   = (*svid.Source)(nil)
	_ x509bundle.Source = (*svid.Source)(nil)
	_ jwtbundle.Source  = (*svid.Source)(nil)
)

func TestSourceFollowsTheWorkloadAPI(t *testing.T) {
	d := newDomain(t, "a.test", time.Hour)
	other := newDomain(t, "b.test", time.Hour)
	address, _ := serve(t, d, filepath.Join(shortDir(t), "api.sock"), d.ID("/broker"))
	registry := prometheus.NewRegistry()
	var log telemetrytest.Log
	s := open(t, svid.Config{Socket: address, Metrics: svid.NewMetrics(registry), Logger: log.Logger()})
	if s.ID() != d.ID("/broker") || s.Ready() != nil {
		t.Errorf("%s is ready: %v", s.ID(), s.Ready())
	}
	if !strings.Contains(log.String(), "waiting for an SVID") || !strings.Contains(log.String(), address) {
		t.Errorf("the log does not say what it waits on:\n%s", log.String())
	}

	first := serialOf(t, s)
	d.Rotate()
	changesUntil(t, s, "another SVID", func() bool { return serialOf(t, s) != first })

	if err := d.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	changesUntil(t, s, "two authorities of either sort", func() bool {
		x, _ := s.GetX509BundleForTrustDomain(d.Name())
		j, _ := s.GetJWTBundleForTrustDomain(d.Name())
		return len(x.X509Authorities()) == 2 && len(j.JWTAuthorities()) == 2
	})

	if _, err := s.GetX509BundleForTrustDomain(other.Name()); err == nil {
		t.Error("there is a bundle of a domain that is not federated")
	}
	d.Federate(other)
	changesUntil(t, s, "the federated bundle", func() bool {
		_, err := s.GetX509BundleForTrustDomain(other.Name())
		_, jerr := s.GetJWTBundleForTrustDomain(other.Name())
		return err == nil && jerr == nil
	})
	if b, _ := s.GetX509BundleForTrustDomain(other.Name()); len(b.X509Authorities()) != 1 {
		t.Errorf("the bundle of b.test has %d authorities: merged with ours", len(b.X509Authorities()))
	}
	own, _ := s.GetX509SVID()
	if got := telemetrytest.Value(t, registry, "intercom_svid_not_after_seconds"); got != float64(own.Certificates[0].NotAfter.Unix()) {
		t.Errorf("not_after is measured as %v", got)
	}
	if telemetrytest.Value(t, registry, "intercom_svid_updates_total", "what=x509") < 3 || telemetrytest.Value(t, registry, "intercom_svid_updated_seconds", "what=jwt_bundles") == 0 {
		t.Error("updates are not counted")
	}
}

func TestOpenNamesTheSocketThatItWaitedOn(t *testing.T) {
	dir := shortDir(t)
	nobody := "unix://" + filepath.Join(dir, "nobody.sock")
	refusing, refuse := script(t)
	refuse.deny(errors.New("no identity issued"))
	for name, tc := range map[string]struct{ socket, want string }{
		"nobody there":      {nobody, nobody},
		"an answer, but no": {refusing, "no identity issued"},
	} {
		begin := time.Now()
		_, err := svid.Open(t.Context(), svid.Config{Socket: tc.socket, Wait: 300 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.socket) || !strings.Contains(err.Error(), "registration entry") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := svid.Open(ctx, svid.Config{Socket: nobody}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOpenRefusesBadConfigs(t *testing.T) {
	for want, cfg := range map[string]svid.Config{
		"unix:///run/spire/agent.sock": {Socket: "/run/spire/agent.sock"},
		"want a Unix socket":           {Socket: "tcp://127.0.0.1:8081"},
		"both a socket and files":      {Socket: "unix:///run/x.sock", CertFile: "x.pem"},
		"identity has no source":       {},
		"has no source":                {CertFile: "x.pem"},
		"no such file":                 {CertFile: "/nowhere/x.pem", KeyFile: "/nowhere/x.key"},
	} {
		if _, err := svid.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// TestOpenWaitsForALateAgent: the broker may start before the agent does.
func TestOpenWaitsForALateAgent(t *testing.T) {
	d := newDomain(t, "a.test", time.Hour)
	path := filepath.Join(shortDir(t), "api.sock")
	opened := make(chan *svid.Source, 1)
	go func() {
		s, err := svid.Open(context.WithoutCancel(t.Context()), svid.Config{Socket: "unix://" + path, Wait: 20 * time.Second})
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	<-time.After(300 * time.Millisecond)
	serve(t, d, path, d.ID("/broker"))
	if s := <-opened; s != nil {
		_ = s.Close()
	}
}

// TestAgentRestart: what we hold stays good, and the new agent is found.
func TestAgentRestart(t *testing.T) {
	d := newDomain(t, "a.test", time.Hour)
	path := filepath.Join(shortDir(t), "api.sock")
	address, stop := serve(t, d, path, d.ID("/broker"))
	s := open(t, svid.Config{Socket: address})
	first := serialOf(t, s)
	stop()
	if serialOf(t, s) != first || s.Ready() != nil {
		t.Errorf("without an agent: %v", s.Ready())
	}
	serve(t, d, path, d.ID("/broker"))
	changesUntil(t, s, "the SVID of the new agent", func() bool { return serialOf(t, s) != first })
}

// TestBrokenAnswersAreNotTaken: the old is kept when the new is broken, and watching goes on whatever the
// stream ends with.
func TestBrokenAnswersAreNotTaken(t *testing.T) {
	d, stranger := newDomain(t, "a.test", time.Hour), newDomain(t, "a.test", time.Hour)
	past, err := embedded.New(embedded.Config{Name: d.Name(), Now: func() time.Time { return time.Now().Add(-2 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	address, api := script(t)
	api.give(answer(t, d, d, "/broker"))
	registry := prometheus.NewRegistry()
	s := open(t, svid.Config{Socket: address, Metrics: svid.NewMetrics(registry)})
	first := serialOf(t, s)
	for i, bad := range []step{
		{resp: answer(t, stranger, d, "/broker")}, // signed by nobody that we know
		{resp: answer(t, past, past, "/broker")},  // ended
		{resp: garbage(t, d)},
		{err: errors.New("canceled by a proxy")},
	} {
		failures := telemetrytest.Value(t, registry, "intercom_svid_failures_total", "what=x509")
		api.do(bad)
		eventually(t, "the failure is counted", func() bool {
			return telemetrytest.Value(t, registry, "intercom_svid_failures_total", "what=x509") > failures
		})
		if serialOf(t, s) != first || s.Ready() != nil {
			t.Errorf("bad answer %d was taken: %v", i, s.Ready())
		}
	}
	api.give(answer(t, d, d, "/broker"))
	changesUntil(t, s, "the next good answer", func() bool { return serialOf(t, s) != first })
}

// TestTheSameAgainIsNoChange: an agent sends everything again when some entry changes.
func TestTheSameAgainIsNoChange(t *testing.T) {
	d := newDomain(t, "a.test", time.Hour)
	address, api := script(t)
	same := answer(t, d, d, "/broker")
	api.give(same)
	registry := prometheus.NewRegistry()
	s := open(t, svid.Config{Socket: address, Metrics: svid.NewMetrics(registry)})
	changed := s.Updated()
	api.give(same)
	eventually(t, "two updates are counted", func() bool { return telemetrytest.Value(t, registry, "intercom_svid_updates_total", "what=x509") == 2 })
	select {
	case <-changed:
		t.Error("told of a change, though all is the same")
	default:
	}
}

// TestEndedSVIDIsSaid: without renewal the SVID ends, and the reason is at hand.
func TestEndedSVIDIsSaid(t *testing.T) {
	d := newDomain(t, "a.test", time.Hour)
	path := filepath.Join(shortDir(t), "api.sock")
	address, stop := serve(t, d, path, d.ID("/broker"))
	now := &clock{}
	s := open(t, svid.Config{Socket: address, Now: now.Now})
	stop()
	eventually(t, "the source has noticed", func() bool {
		now.set(2 * time.Hour)
		err := s.Ready()
		now.set(0)
		return err != nil && strings.Contains(err.Error(), "no other came: ") && strings.Contains(err.Error(), "Unavailable")
	})
	now.set(2 * time.Hour)
	if _, err := s.GetX509SVID(); err == nil {
		t.Error("an SVID that has ended was handed out")
	}
}

func TestFetchJWTSVID(t *testing.T) {
	d := newDomain(t, "a.test", time.Hour)
	path := filepath.Join(shortDir(t), "api.sock")
	address, stop := serve(t, d, path, d.ID("/broker"))
	now := &clock{}
	s := open(t, svid.Config{Socket: address, Now: now.Now})
	ctx := t.Context()
	fetch := func(audience string) string {
		t.Helper()
		got, err := s.FetchJWTSVID(ctx, audience)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jwtsvid.ParseAndValidate(got.Marshal(), s, []string{audience}); err != nil || got.ID != s.ID() {
			t.Errorf("%s for %q: %v", got.ID, audience, err)
		}
		return got.Marshal()
	}
	vault := fetch("vault")
	if fetch("vault") != vault {
		t.Error("fetched again within half of its life")
	}
	if fetch("ledger") == vault {
		t.Error("two audiences, one token")
	}
	now.set(2*time.Minute + 40*time.Second)
	renewed := fetch("vault")
	if renewed == vault {
		t.Error("not renewed after half of its life")
	}
	if _, err := s.FetchJWTSVID(ctx, ""); fault.KindOf(err) != fault.InvalidRequest {
		t.Errorf("no audience: %v", err)
	}

	// An agent that is away: what is held is used up, and then the failure is one to try again.
	stop()
	now.set(4 * time.Minute)
	if fetch("vault") != renewed {
		t.Error("a token of another agent?")
	}
	now.set(5 * time.Minute)
	if _, err := s.FetchJWTSVID(ctx, "vault"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ended, and no agent: %v", err)
	}
}

func TestJWTKeysArePlain(t *testing.T) {
	d := newDomain(t, "a.test", time.Hour)
	if err := d.RotateAuthority(); err != nil {
		t.Fatal(err)
	}
	address, _ := serve(t, d, filepath.Join(shortDir(t), "api.sock"), d.ID("/broker"))
	s := open(t, svid.Config{Socket: address})
	raw, err := s.JWTKeys(d.Name())
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(raw, &set); err != nil || len(set.Keys) != 2 {
		t.Fatalf("%s: %v", raw, err)
	}
	for _, key := range set.Keys {
		if key["kid"] == "" || key["kty"] != "EC" || key["use"] != nil || key["d"] != nil {
			t.Errorf("key %v", key)
		}
	}
	again, _ := s.JWTKeys(d.Name())
	if string(again) != string(raw) {
		t.Error("the same keys in another order")
	}
	if _, err := s.JWTKeys(newDomain(t, "b.test", time.Hour).Name()); err == nil {
		t.Error("keys of a domain that nobody knows")
	}
}
