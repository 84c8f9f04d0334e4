package localapi

import (
	"fmt"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Hold names what the sidecar holds from the start, so that the application never waits for it, and
// without which it is not ready.
type Hold struct {
	// Tokens are audiences. For a token service these are the tokens that it is called with, bound if it
	// binds them; for any other audience, the unbound ones that the application asks for.
	Tokens []string
	// Credentials are names, such as reports/db.
	Credentials []string
}

// rehold tells the caches what is held, as far as the list of services says what that is.
func (a *API) rehold() {
	a.leases.Hold(a.cfg.Hold.Credentials...)
	c, err := a.services.current()
	if err != nil {
		return
	}
	var keys []tokenKey
	for _, audience := range a.cfg.Hold.Tokens {
		if rt := c.audiences[audience]; rt != nil {
			keys = append(keys, rt.key(a.cfg.Client.Conn()))
		} else {
			keys = append(keys, tokenKey{audience: audience})
		}
	}
	a.tokens.Hold(keys...)
}

// Ready returns why the sidecar is not ready, in sentences; nothing when it is.
func (a *API) Ready() (reasons []string) {
	if _, err := a.services.current(); err != nil {
		reasons = append(reasons, err.Error())
		for _, audience := range a.cfg.Hold.Tokens {
			reasons = append(reasons, fmt.Sprintf("the token for %q is not held", audience))
		}
	}
	for _, gap := range a.tokens.Missing() {
		if gap.Key.conn == nil || gap.Key.conn == a.cfg.Client.Conn() { // not of an SVID that is let go
			reasons = append(reasons, fmt.Sprintf("the token for %q is not held: %s", gap.Key.audience, why(gap.Err)))
		}
	}
	for _, gap := range a.leases.Missing() {
		reasons = append(reasons, fmt.Sprintf("the credential %q is not held: %s", gap.Key, why(gap.Err)))
	}
	return reasons
}

// why is a failure in the words that a caller would get.
func why(err error) string {
	if err == nil {
		return "it is being fetched"
	}
	f := fault.From(err)
	if f.Decision != "" {
		return fmt.Sprintf("%s (decision %s)", f.Message, f.Decision)
	}
	return f.Message
}
