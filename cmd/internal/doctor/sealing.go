package doctor

import (
	"context"
	"strings"
)

// sealingKeys reads them, and says how many there are.
func (g *gatewayExam) sealingKeys(ctx context.Context, r rows) {
	if g.Gateway.Sessions.Redis == nil {
		r.skip("sessions in memory are not sealed")
		return
	}
	keys, err := g.examiner().SealingKeys(ctx)
	if err != nil {
		r.fail(key("sessions.keys"), "put the keys where the reference says, one a line: openssl rand -base64 32", "%s", strings.TrimPrefix(why(err), "sessions.keys: "))
		return
	}
	r.ok("%s of 32 bytes; the first seals, all open", count(len(keys), "key", "keys"))
}
