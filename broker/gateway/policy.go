package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/policy"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// brokerPolicy decides by the policy that the brokers have in force, in this process. Until the first has come, nothing
// is allowed. A broker that goes away leaves the last one here, for as long as stale says: what has been denied since
// then would be allowed. It implements [policy.Decider].
type brokerPolicy struct {
	client *client.Client
	cfg    policy.Config
	stale  time.Duration

	engine atomic.Pointer[policy.Engine]
	heard  atomic.Pointer[time.Time] // when a broker last said that it is in force
	failed atomic.Pointer[error]     // why the last answer was none
}

// Decide implements [policy.Decider].
func (p *brokerPolicy) Decide(ctx context.Context, r policy.Request) (policy.Decision, error) {
	e := p.engine.Load()
	if e == nil {
		return policy.Decision{}, fault.New(fault.Unavailable, "POLICY_UNKNOWN", "no broker has said yet what the policy is")
	}
	if age, ok := p.fresh(); !ok {
		return policy.Decision{}, fault.New(fault.Unavailable, "POLICY_STALE", fmt.Sprintf("no broker has said for %v that the policy is still in force", age))
	}
	return e.Decide(ctx, r)
}

// fresh returns for how long no broker has said that the policy is in force, and whether it may be followed all the same.
func (p *brokerPolicy) fresh() (age time.Duration, ok bool) {
	age = time.Since(*p.heard.Load())
	return age.Round(time.Second), age <= p.stale
}

// MayDeny reports whether a deny is possible for the action; true where nobody knows.
func (p *brokerPolicy) MayDeny(action string) bool {
	e := p.engine.Load()
	return e == nil || e.MayDeny(action)
}

// Ready returns nil while there is a policy that may be followed.
func (p *brokerPolicy) Ready() error {
	if p.engine.Load() != nil {
		if age, ok := p.fresh(); !ok {
			return fmt.Errorf("no broker has said for %v that the policy is still in force, which is longer than brokers.stale: is one of brokers.mesh to be reached?", age)
		}
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
		if err == nil {
			err = p.take(ctx, got)
		}
		if err != nil {
			p.failed.Store(&err)
			p.cfg.Logger.WarnContext(ctx, "the brokers' policy cannot be had; the one in force stays", "revision", have(), "error", err)
		}
	}
	return nil
}

// take takes what a broker says. One that cannot be loaded is no word on the one that is here.
func (p *brokerPolicy) take(ctx context.Context, got *intercomv1.WatchPolicyResponse) error {
	now := time.Now()
	if len(got.GetArchive()) > 0 {
		if p.heard.Load() == nil {
			p.heard.Store(&now) // before the engine, with which it is read
		}
		if err := p.load(ctx, got.GetRevision(), got.GetArchive()); err != nil {
			return err
		}
	}
	p.heard.Store(&now)
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
		b := &brokerPolicy{client: p.client, cfg: cfg, stale: p.cfg.Brokers.stale()}
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
