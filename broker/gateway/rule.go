package gateway

import (
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/strict"
)

// RefusePlaintext is a [route.Rule]: what a browser sends, and the token that goes along, must not leave this
// machine in the clear.
func RefusePlaintext(s *service.Service) *strict.Error {
	for _, target := range s.Upstream.Targets {
		if target.Scheme == "http" && !onLoopback(target.Hostname()) {
			e := s.RefuseAt(s.Pos, "browsers reach it, and its upstream %s is plain http: the user's token would travel in the clear", target.Redacted())
			e.Message += "; let it speak https, or start with --unsafe-plaintext-upstreams where another layer encrypts"
			return e
		}
	}
	return nil
}

// RefuseUnserved is a [route.Rule]: a service whose credential cannot be had would fail at every request, and what
// matches below the prefix is never asked for.
func (c *Config) RefuseUnserved(s *service.Service) *strict.Error {
	for _, m := range s.Browser.Matches {
		if strings.HasPrefix(m.Path+"/", c.prefix()+"/") {
			return s.RefuseAt(m.Pos, "match: %s is below %s, where the gateway's own paths are", m.Path, c.prefix())
		}
	}
	switch {
	case s.Browser.User.Kind == service.UserMint && c.Brokers.Audience == "":
		return s.RefuseAt(s.Pos, "a broker mints the user's token for it, and the gateway's file does not say brokers.audience, for which the user's own is exchanged before")
	case s.Browser.User.Kind == service.UserBasic && !slices.Contains(c.Provider.Claims, s.Browser.User.Claim):
		return s.RefuseAt(s.Pos, "user.basic.claim: the gateway's file does not keep the claim %s: add it to provider.claims", s.Browser.User.Claim)
	case s.Mode == service.ModeInject && len(c.Brokers.Egress) == 0:
		return s.RefuseAt(s.Pos, "a broker puts the credential in, and the gateway's file has no brokers.egress")
	}
	return nil
}
