package doctor

import (
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/svid"
)

// gatewayExam is a gateway's file, and what was opened of it so far. What is opened is atomic: a check that was given up
// may still open it while another asks.
type gatewayExam struct {
	Options
	file     file
	clocks   *clocks
	services []*service.Service // those that browsers reach

	identity atomic.Pointer[svid.Source]
	brokers  atomic.Pointer[client.Client]
	provider atomic.Pointer[provider.Provider]
}

func newGatewayExam(o Options, c *clocks) *gatewayExam {
	g := &gatewayExam{Options: o, file: readFile(o.GatewayFile), clocks: c}
	if catalog, err := service.Load(o.Gateway.Services); err == nil { // why not, intercom check says
		for _, s := range catalog.All() {
			if s.Browser != nil {
				g.services = append(g.services, s)
			}
		}
	}
	return g
}

func (g *gatewayExam) round(n int) []check {
	if g == nil {
		return nil
	}
	return [rounds][]check{
		{
			{"identity", g.file, g.who}, {"certificate", g.file, g.certificate}, {"cookies", g.file, g.cookies},
			{"same-site", g.file, g.sameSite}, {"origin", g.file, g.origins},
			{"audit", g.file, auditDir(g.Gateway.Audit.Dir)},
		},
		{
			{"upstream", g.file, g.upstreams},
			{"brokers", g.file, g.meshes}, {"policy", g.file, g.policy}, {"provider", g.file, g.openProvider},
			{"redis", g.file, g.redis}, {"sealing-keys", g.file, g.sealingKeys},
		},
		{
			{"provider-client", g.file, g.client}, {"redirect-uri", g.file, g.redirects}, {"post-logout-uri", g.file, g.postLogouts},
			{"back-channel", g.file, g.backChannel}, {"refresh-token", g.file, g.refreshes}, {"token-exchange", g.file, g.exchanges},
			{"own-token", g.file, g.ownTokens}, {"clock", g.file, g.providersClock},
		},
	}[n]
}

// examiner opens what the gateway stands on, with what is there of it.
func (g *gatewayExam) examiner() gateway.Examiner {
	return gateway.Examiner{Config: *g.Gateway, Identity: g.identity.Load(), Brokers: g.brokers.Load(), Now: g.Now}
}

func (g *gatewayExam) close() {
	if c := g.brokers.Load(); c != nil {
		_ = c.Close()
	}
	if s := g.identity.Load(); s != nil {
		_ = s.Close()
	}
}
