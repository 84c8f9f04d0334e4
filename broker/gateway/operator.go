package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/strict"
)

// ErrMemory is what [OpenSessions] says of a gateway that keeps sessions to itself.
var ErrMemory = errors.New("the sessions are in the gateway's memory, where no command sees them: a restart of it ends all")

// OpenSessions opens the sessions that the gateways of a file share, for an operator's command beside them. What is
// ended through it is over at every gateway as fast as any other end. The refresh tokens are left to the provider:
// whoever is to be logged out there too is logged out there, and the provider tells us.
func OpenSessions(ctx context.Context, cfg Config) (_ *session.Manager, done func(), err error) {
	s := cfg.Sessions
	if s.Redis == nil {
		return nil, nil, ErrMemory
	}
	for _, ref := range append([]strict.Ref{s.Redis.Password, s.Redis.Sentinel.Password}, s.Keys...) {
		if ref.Scheme == "vault" {
			return nil, nil, fmt.Errorf("sessions: %s is leased to the gateway by a broker, and not to a command: give a file with the same in a copy of the configuration", ref)
		}
	}
	d, err := dialStore(ctx, &secrets{}, s)
	if err != nil {
		return nil, nil, err
	}
	return session.New(session.Config{Store: d.store, Absolute: s.Absolute.Std(), Idle: s.Idle.Std()}), d.store.Close, nil
}
