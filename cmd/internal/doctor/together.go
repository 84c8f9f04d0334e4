package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/service"
)

// users holds a gateway's file against a broker's: for whom the broker is to mint, it has to take the tokens of.
func (g *gatewayExam) users(b *brokerExam) func(context.Context, rows) {
	return func(_ context.Context, r rows) {
		var minted []string
		for _, s := range g.services {
			if s.Browser.User.Kind == service.UserMint {
				minted = append(minted, s.Name)
			}
		}
		ours, audience := g.Gateway.Provider.Issuer, g.Gateway.Brokers.Audience
		i := slices.IndexFunc(b.Broker.Issuers, func(i broker.OpenIDIssuer) bool { return i.URL.String() == ours })
		switch {
		case len(minted) == 0:
			r.skip("no service has user: mint")
		case i < 0:
			r.fail(key("issuers"), "add { issuer: "+ours+", audience: ["+audience+"] }", "the users of the gateway's provider are not taken, so nothing is minted for them: %s", strings.Join(minted, ", "))
		case !slices.Contains(b.Broker.Issuers[i].Audience, audience):
			r.fail(key("issuers"), "add it to audience there, or correct brokers.audience of the gateway", "the gateway brings tokens for %q, and those for %q are taken: nothing is minted for %s", audience, b.Broker.Issuers[i].Audience, strings.Join(minted, ", "))
		default:
			r.ok("the users of the gateway's provider are taken, by tokens for %q", audience)
		}
	}
}

// sameServices looks whether the broker knows what it is to mint or to put in for the gateway.
func (g *gatewayExam) sameServices(b *brokerExam) func(context.Context, rows) {
	return func(_ context.Context, r rows) {
		if b.unread != nil {
			r.skip("the broker's service files, %s, cannot be read: intercom check says why", b.Broker.Services)
			return
		}
		known := names(b.services)
		all := 0
		for _, s := range g.services {
			if s.Mode != service.ModeInject && s.Browser.User.Kind != service.UserMint {
				continue
			}
			if all++; !slices.Contains(known, s.Name) {
				r.of(s.Name).fail(place{pos: s.Pos}, "give both the same service files", "the broker's service files, %s, do not have it, and it is the broker that serves it", b.Broker.Services)
			}
		}
		if len(*r.list) == 0 && all > 0 {
			r.ok("the broker knows what it does for the gateway")
		}
	}
}
