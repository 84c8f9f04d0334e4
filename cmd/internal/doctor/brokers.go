package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/svid"
)

// meshes reaches each of the brokers' doors by itself: calls go to those that answer, and hide one that does not.
func (g *gatewayExam) meshes(ctx context.Context, r rows) {
	source := g.identity.Load()
	if source == nil {
		r.skip("we have no SVID to show")
		return
	}
	b := g.Gateway.Brokers
	for _, address := range b.Mesh {
		err := greet(ctx, source, b.ID.ID, address)
		if err == nil && g.knock(ctx, source, address) == nil {
			err = wrongDoor("it is an egress door")
		}
		g.saw(r.of(address), "mesh", err)
	}
	for _, address := range b.Egress {
		err := g.knock(ctx, source, address)
		g.saw(r.of(address), "egress", err)
	}
}

// saw says how a broker's door answered.
func (g *gatewayExam) saw(r rows, door string, err error) {
	var other *otherError
	var wrong wrongDoor
	switch {
	case err == nil:
		r.ok("a broker, %s, behind its %s door", g.Gateway.Brokers.ID, door)
	case errors.As(err, &wrong):
		r.fail(key("brokers."+door), "write the "+door+" door's address there", "a broker answers, and %s", wrong)
	case errors.As(err, &other):
		r.fail(key("brokers.id"), "correct the ID or the address", "%s answers, and not %s", other.id, g.Gateway.Brokers.ID)
	case says(err, "remote error", "connection reset", "EOF"):
		r.fail(key("brokers."+door), "look whether it is a broker's "+door+" door, and whether the broker's identity.allow names our trust domain", "it does not take our SVID: %s", why(err))
	default:
		r.fail(key("brokers."+door), "start the broker, or correct the address", "%s", why(err))
	}
}

// wrongDoor is what a broker's other door is.
type wrongDoor string

// Error implements error.
func (e wrongDoor) Error() string { return string(e) }

// otherError is a peer that is not the broker.
type otherError struct{ id spiffeid.ID }

// Error implements error.
func (e *otherError) Error() string { return e.id.String() + " is no broker" }

func only(want spiffeid.ID) func(spiffeid.ID, [][]*x509.Certificate) error {
	return func(id spiffeid.ID, _ [][]*x509.Certificate) error {
		if id != want {
			return &otherError{id}
		}
		return nil
	}
}

// patience is for a peer that has nothing to say.
const patience = 2 * time.Second

// greet shakes hands with a mesh door. In TLS 1.3 the server looks at our certificate when we are done already (RFC 8446,
// section 2), so its first word is waited for: a gRPC server's SETTINGS, or an alert.
func greet(ctx context.Context, source *svid.Source, want spiffeid.ID, address string) error {
	d := tls.Dialer{Config: mtls.Client(source, source, only(want), "h2")}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return heard(conn, patience)
}

// knock asks an egress door for nothing. What it answers is a problem, and tells the time.
func (g *gatewayExam) knock(ctx context.Context, source *svid.Source, address string) error {
	t := &http.Transport{
		TLSClientConfig: mtls.Client(source, source, only(g.Gateway.Brokers.ID.ID), "h2", "http/1.1"), ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true,
	}
	defer t.CloseIdleConnections()
	got, err := ask(ctx, &http.Client{Transport: t}, http.MethodGet, "https://"+address+"/", nil)
	if err == nil && got.header.Get("Content-Type") != "application/problem+json" {
		return wrongDoor("it is no egress door: it answers " + http.StatusText(got.status))
	}
	if err == nil {
		g.clocks.date("the broker", got)
	}
	return err
}

// policy asks for the policy as a gateway does that has none of its own.
func (g *gatewayExam) policy(ctx context.Context, r rows) {
	dir, own := g.Gateway.PolicyDir()
	brokers := g.brokers.Load()
	switch {
	case own && !holds(dir):
		r.fail(key("policy"), "correct it: what is wrong with which line is said with the files", "the gateway does not start with the policy in %s", dir)
		return
	case own:
		r.ok("the gateway decides by %s; what its rules say is checked with the files", dir)
		return
	case brokers == nil:
		r.skip("we have no SVID to ask the brokers with")
		return
	}
	for got, err := range brokers.WatchPolicy(ctx, func() string { return "" }) {
		switch {
		case err == nil:
			r.ok("the brokers serve us their policy, revision %.12s; what its rules say is checked with a broker's file, --config", got.GetRevision())
		case fault.KindOf(err) == fault.Denied:
			cure := "add to the brokers' policy: p, " + g.identity.Load().ID().String() + ", admin, admin/policy, allow"
			r.fail(key("policy"), cure, "the brokers do not let us have their policy: %s", why(err))
		default:
			r.fail(key("brokers.mesh"), "see the rows about brokers", "the policy cannot be had: %s", why(err))
		}
		return
	}
	r.fail(key("brokers.mesh"), "see the rows about brokers", "no broker says in time what the policy is")
}

func holds(dir string) bool {
	_, err := policy.Load(dir)
	return err == nil
}
