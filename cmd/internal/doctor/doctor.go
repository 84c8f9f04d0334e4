package doctor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Options say what is looked at.
type Options struct {
	// Gateway and Broker are configurations that hold, and GatewayFile and BrokerFile where they stand; nil for a process
	// that is not looked at.
	Gateway                 *gateway.Config
	Broker                  *broker.Config
	GatewayFile, BrokerFile string
	// UserToken is an access token of a test user, with which exchanges are really made; the zero Value means that only
	// what can be told without a user is told.
	UserToken secret.Value
	// Timeout is for one check; 0 means 5 s. There are three rounds of checks.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Examine makes all checks and returns what was seen, in the order of the checks.
func Examine(ctx context.Context, o Options) (all []Row) {
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	clocks := &clocks{now: o.Now}
	var g *gatewayExam
	var b *brokerExam
	if o.Gateway != nil {
		g = newGatewayExam(o, clocks)
		defer g.close()
	}
	if o.Broker != nil {
		b = newBrokerExam(o, clocks)
		defer b.close()
	}
	for i := range rounds {
		asked := append(g.round(i), b.round(i)...)
		if i == 1 && g != nil && b != nil {
			asked = append(asked, check{"brokers-id", g.file, func(_ context.Context, r rows) { g.sameBroker(b, r) }},
				check{"brokers-users", b.file, g.users(b)}, check{"brokers-services", g.file, g.sameServices(b)})
		}
		all = append(all, run(ctx, o.Timeout, asked)...)
	}
	slices.SortStableFunc(all, func(a, b Row) int { return cmp.Compare(order(o, a), order(o, b)) })
	if len(all) == 0 {
		return nil
	}
	last := check{"clock", file{}, func(_ context.Context, r rows) { clocks.judge(r) }}
	return append(all, run(ctx, o.Timeout, []check{last})...)
}

// rounds is how many there are.
const rounds = 3

// order puts the gateway's rows first.
func order(o Options, r Row) int {
	if r.Of == o.GatewayFile {
		return 0
	}
	return 1
}
