package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// leases holds the credentials that a broker leases to us: a request or a login must not cost a lease. One that
// cannot be renewed serves until its end, and not after it.
type leases struct {
	lease func(context.Context, *intercomv1.LeaseRequest) (*intercomv1.LeaseResponse, error)

	mu      sync.Mutex
	held    map[string]lease
	flights singleflight.Group
}

type lease struct {
	fields           map[string]secret.Value
	from, renew, end time.Time
}

// field returns one field of a credential.
func (l *leases) field(ctx context.Context, credential, field string) (secret.Value, error) {
	held, err := l.get(ctx, credential)
	if err != nil {
		return secret.Value{}, fmt.Errorf("credential %s: %w", credential, err)
	}
	value, ok := held.fields[field]
	if !ok {
		return secret.Value{}, fmt.Errorf("credential %s has no field %q", credential, field)
	}
	return value, nil
}

// refused asks for the credential anew at the next use: a service did not take it, so it may have been replaced in
// the store. It does nothing where that has just been done.
func (l *leases) refused(credential string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held, ok := l.held[credential]; ok && time.Since(held.from) > lately {
		held.renew = time.Time{}
		l.held[credential] = held
	}
}

// lately is for how long a lease speaks for itself.
const lately = 10 * time.Second

func (l *leases) get(ctx context.Context, credential string) (lease, error) {
	l.mu.Lock()
	held, ok := l.held[credential]
	l.mu.Unlock()
	if ok && time.Now().Before(held.renew) {
		return held, nil
	}
	got, err, _ := l.flights.Do(credential, func() (any, error) { return l.ask(ctx, credential) })
	if err == nil {
		return got.(lease), nil
	}
	if ok && time.Now().Before(held.end) && !errors.Is(err, fault.Denied) { // a no of the broker's is none of its absence
		return held, nil
	}
	return lease{}, err
}

// noLease answers where no broker can be asked.
func noLease(context.Context, *intercomv1.LeaseRequest) (*intercomv1.LeaseResponse, error) {
	return nil, errors.New("no broker can be asked for it")
}

// leaseTimeout bounds one question, whoever waits for it.
const leaseTimeout = 10 * time.Second

func (l *leases) ask(ctx context.Context, credential string) (lease, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	got, err := l.lease(ctx, &intercomv1.LeaseRequest{Credential: credential, Purpose: "gateway"})
	if err != nil {
		return lease{}, err
	}
	c := got.GetCredential()
	held := lease{fields: map[string]secret.Value{}, from: time.Now(), renew: c.GetRenewAfter().AsTime(), end: c.GetNotAfter().AsTime()}
	for name, value := range c.GetFields() {
		held.fields[name] = secret.New(value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]lease{}
	}
	l.held[credential] = held
	return held, nil
}
