package egress

import (
	"reflect"
	"sync"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/service"
)

// clients are the connections of one service that shows a certificate from the store. They belong to one
// version of it: a connection goes on with what its handshake showed, so a new version gets new ones, and the
// old end when they are idle.
type clients struct {
	mu    sync.Mutex
	by    credential.Credential
	pools *pools
}

// planConnections adds the step that chooses the connections.
func (h *Handler) planConnections(p *plan, s *service.Service, old *upstream) {
	ref := s.Inject.Certificate
	if ref == nil {
		return
	}
	if old != nil && old.clients != nil && samePlace(old, s) && old.service.Inject.Certificate.Credential == ref.Credential {
		p.clients = old.clients
	} else {
		p.clients = &clients{}
	}
	mine := p.clients
	p.steps = append(p.steps, func(a *act) error {
		served, err := a.fetch(ref.Credential)
		if err == nil {
			a.pools, err = mine.get(h, s, served.Credential)
		}
		return err
	})
}

func (c *clients) get(h *Handler, s *service.Service, cred credential.Credential) (*pools, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pools != nil && c.by.Version == cred.Version && c.by.Fields.Equal(cred.Fields) {
		return c.pools, nil
	}
	pair, err := inject.Certificate(cred.Fields)
	if err != nil {
		return nil, err
	}
	c.pools.close()
	c.by, c.pools = cred, h.newPools(s, pair)
	return c.pools, nil
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools.close()
}

func sameOAuth2(a, b *service.OAuth2) bool { return reflect.DeepEqual(a, b) }
