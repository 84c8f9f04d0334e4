package svid

import (
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// check refuses what would make us worse off than we are: an SVID that has ended, or one that the bundle
// of its own trust domain does not vouch for, so that no peer would take it.
func (s *Source) check(fresh state) error {
	leaf := fresh.svid.Certificates[0]
	now := s.cfg.Now()
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("the SVID of %s ended at %s", fresh.svid.ID, leaf.NotAfter.Format(time.RFC3339))
	}
	if _, _, err := x509svid.Verify(fresh.svid.Certificates, fresh.x509, x509svid.WithTime(now)); err != nil {
		return fmt.Errorf("the SVID of %s: %w", fresh.svid.ID, err)
	}
	return nil
}

// held logs and measures the SVID that we hold now.
func (s *Source) held() {
	own := s.state.Load().svid
	leaf := own.Certificates[0]
	s.cfg.Metrics.holds(leaf.NotAfter)
	s.cfg.Logger.Info("holding an SVID", "spiffe_id", own.ID.String(), "serial", leaf.SerialNumber.Text(16),
		"not_after", leaf.NotAfter.Format(time.RFC3339), "from", s.origin())
}
