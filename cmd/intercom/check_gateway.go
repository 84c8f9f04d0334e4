package main

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// machineOfGateway finds what the gateway's file alone cannot decide.
func machineOfGateway(ctx context.Context, file string, cfg gateway.Config) (all []finding) {
	for _, e := range cfg.CheckLocal(ctx) {
		rule := ruleInvalid
		if e.Elsewhere {
			rule = ruleElsewhere
		}
		all = append(all, at(rule, file, e.Key, e.Err))
	}
	if cfg.Listen.Admin != "" {
		if err := telemetry.CheckLoopback(cfg.Listen.Admin); err != nil {
			f := at(ruleAdminAnywhere, file, "listen.admin", err)
			f.Cure = "the gateway wants --unsafe-admin-anywhere for it"
			all = append(all, f)
		}
	}
	if cfg.Listen.Cert == "" {
		f := at(ruleWebCertificate, file, "listen", errors.New("there is no certificate"))
		f.Cure = "the gateway wants cert and key, or --unsafe-plaintext where TLS ends before it"
		return append(all, f)
	}
	if _, err := tls.LoadX509KeyPair(cfg.Listen.Cert, cfg.Listen.Key); err != nil {
		all = append(all, at(ruleWebCertificate, file, "listen.cert", err))
	}
	return all
}

// routes holds the service files against the gateway's origins: a match for another host is never reached. Plain
// http on the way to a service is for a flag to allow.
func (t *together) routes() (all []finding) {
	all = refused(t.services, tableOf(t))
	for _, s := range t.catalog.All() {
		if s.Browser == nil {
			continue
		}
		if e := gateway.RefusePlaintext(s); e != nil {
			f := fromStrict(e)
			f.Rule, f.Severity = rulePlaintextUpstream, severityOf(rulePlaintextUpstream)
			all = append(all, f)
		}
	}
	return all
}

func tableOf(t *together) error {
	var hosts []string
	for _, o := range t.gateway.Origins {
		hosts = append(hosts, route.Origin{URL: o.URL}.Host())
	}
	_, err := route.New(t.catalog, hosts, t.gateway.RefuseUnserved)
	return err
}
