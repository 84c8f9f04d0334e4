package gateway_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// person sits at a browser in front of one of the gateways. It shows where it is led, and does not go there.
type person struct {
	*gatewaytest.Person

	t testing.TB
	w *world
}

func (w *world) person(t testing.TB, replica int) *person {
	t.Helper()
	return (&person{w.Person(t).StopBefore(gatewaytest.Everywhere), t, w}).at(replica)
}

// at is the same person, whose next requests come to another replica.
func (p *person) at(replica int) *person {
	other := *p
	other.Person = p.At(p.w.Gateways[replica])
	return &other
}
