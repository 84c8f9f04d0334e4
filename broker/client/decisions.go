package client

import (
	"context"

	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Explain asks why policy decided, or would decide, as it does: an act of its own, on the resource `pdp`,
// that policy has to allow the caller.
func (c *Client) Explain(ctx context.Context, req *intercomv1.ExplainRequest) (resp *intercomv1.ExplainResponse, err error) {
	conn := c.Conn()
	err = conn.call(ctx, "Explain", func(ctx context.Context) (err error) {
		resp, err = intercomv1.NewDecisionsClient(conn.mesh).Explain(ctx, req)
		return err
	})
	return resp, err
}
