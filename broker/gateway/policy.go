package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/policy"
)

// brokerPolicy decides by the policy that the brokers have in force, in this process: a broker that goes away
// leaves the last one here. Until the first has come, nothing is allowed. It implements [policy.Decider].
type brokerPolicy struct {
	client *client.Client
	cfg    policy.Config

	engine atomic.Pointer[policy.Engine]
	failed atomic.Pointer[error] // why the last answer was none
}

// Decide implements [policy.Decider].
func (p *brokerPolicy) Decide(ctx context.Context, r policy.Request) (policy.Decision, error) {
	e := p.engine.Load()
	if e == nil {
		return policy.Decision{}, fault.New(fault.Unavailable, "POLICY_UNKNOWN", "no broker has said yet what the policy is")
	}
	return e.Decide(ctx, r)
}

// MayDeny reports whether a deny is possible for the action; true where nobody knows.
func (p *brokerPolicy) MayDeny(action string) bool {
	e := p.engine.Load()
	return e == nil || e.MayDeny(action)
}

// Ready returns nil once there is a policy.
func (p *brokerPolicy) Ready() error {
	if p.engine.Load() != nil {
		return nil
	}
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return errors.New("no broker has said yet what the policy is")
}

// Run follows the brokers until ctx ends.
func (p *brokerPolicy) Run(ctx context.Context) error {
	have := func() string {
		if e := p.engine.Load(); e != nil {
			return e.Current().Revision()
		}
		return ""
	}
	for got, err := range p.client.WatchPolicy(ctx, have) {
		if err == nil && len(got.GetArchive()) > 0 {
			err = p.load(ctx, got.GetRevision(), got.GetArchive())
		}
		if err != nil {
			p.failed.Store(&err)
			p.cfg.Logger.WarnContext(ctx, "the brokers' policy cannot be had; the one in force stays", "revision", have(), "error", err)
		}
	}
	return nil
}

func (p *brokerPolicy) load(ctx context.Context, revision string, archive []byte) error {
	if e := p.engine.Load(); e != nil {
		return e.Load(ctx, revision, archive)
	}
	e, err := policy.OpenArchive(ctx, p.cfg, revision, archive)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	p.engine.Store(e)
	return nil
}

// openPolicy opens the policy of a directory, or the one that the brokers serve.
func (p *parts) openPolicy(ctx context.Context) error {
	cfg := policy.Config{Logger: p.log(), Metrics: policy.NewMetrics(p.registry()), History: policyHistory(p.cfg.Audit.Dir)}
	if p.cfg.Policy == policyOfBroker {
		b := &brokerPolicy{client: p.client, cfg: cfg}
		p.policy, p.followers = b, append(p.followers, b.Run)
		p.checks["policy"] = b.Ready
		return nil
	}
	cfg.Dir = p.cfg.Policy
	e, err := policy.Open(ctx, cfg)
	if err != nil {
		return err
	}
	p.policy, p.followers = e, append(p.followers, e.Run)
	return nil
}
