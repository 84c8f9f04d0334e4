package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/sidecar"
)

// together holds what was read, so that one can be held against the other. What could not be read is
// absent: a second complaint about it would help nobody.
type together struct {
	flags                   checkFlags
	broker                  broker.Config
	sidecar                 sidecar.Config
	gateway                 gateway.Config
	brokerGood, sidecarGood bool
	gatewayGood             bool
	services, policy        string
	catalog                 *service.Catalog
	draft                   policy.Draft
	snapshot                *policy.Snapshot
}

func (t *together) compare(ctx context.Context, r *report) {
	known := t.known()
	known.Domains, known.Issuers = t.domains(), t.issuers()
	for _, p := range t.draft.Lint(known) {
		r.add(t.policy, fromPolicy(t.policy, p))
	}
	if t.catalog != nil && t.snapshot != nil {
		r.add(t.services, t.unusable()...)
	}
	if t.catalog != nil && t.sidecarGood {
		r.add(t.flags.sidecar, t.waitsFor()...)
	}
	if t.catalog != nil && t.gatewayGood {
		r.add(t.services, t.routes()...)
	}
	if t.catalog != nil && t.brokerGood && t.broker.Store.Sealed != nil {
		t.compareStore(ctx, r)
	}
}

// known is what rules may speak of.
func (t *together) known() (k policy.Known) {
	if t.catalog == nil {
		return k
	}
	k.Services, k.Audiences, k.Credentials = map[string]string{}, map[string]string{}, map[string]string{}
	for _, s := range t.catalog.All() {
		k.Services[s.Name] = uncalled(s)
		for _, name := range credentials(s) {
			note(k.Credentials, name, s.Vend != nil, "no service vends it, it is only put into calls")
		}
		switch {
		case s.Token != nil:
			note(k.Audiences, s.Token.Audience, true, "")
		case s.Inject != nil && s.Inject.Mint != nil:
			note(k.Audiences, s.Inject.Mint.Audience, false, "its tokens are only put into calls, and not handed out")
		}
	}
	return k
}

// note keeps the reason only as long as nothing is of use.
func note(names map[string]string, name string, ofUse bool, why string) {
	if before, ok := names[name]; ofUse {
		names[name] = ""
	} else if !ok || before != "" {
		names[name] = why
	}
}

// uncalled says why no call to the service goes through the egress door or a gateway, and "" where one may.
func uncalled(s *service.Service) string {
	switch {
	case s.Vend != nil:
		return "the service is reached with a vended credential, not through the broker"
	case s.Upstream.URL == nil:
		return "the service has no upstream"
	case s.Token != nil && s.Token.Bind == service.BindSVID && s.Browser == nil:
		return "its callers call it themselves, with a token that is bound to them: write exchange on audience/" + s.Token.Audience
	}
	return ""
}

// credentials are the stored credentials that a service names.
func credentials(s *service.Service) []string {
	switch {
	case s.Vend != nil:
		return []string{s.Vend.Credential}
	case s.Inject != nil:
		return s.Inject.Credentials()
	}
	return nil
}

// domains are the trust domains that are let in: those of identity.allow, and our own. Where nothing says
// which is our own, it is taken to be the one that most rules name; nil means that nothing is known.
func (t *together) domains() []string {
	own := t.own()
	if !t.brokerGood {
		if own == "" {
			return nil
		}
		return []string{own}
	}
	var allowed []string
	for _, d := range t.broker.Identity.Allow {
		allowed = append(allowed, d.Name())
	}
	if own == "" {
		own = most(t.draft.Domains(), allowed)
	}
	return append(allowed, own)
}

// issuers are those whose users are known: to the broker, by their tokens, and to a gateway, which logs them in and asks
// the broker's policy or its own; nil means that nothing is known.
func (t *together) issuers() (all []string) {
	dir, own := t.gateway.PolicyDir()
	if t.gatewayGood && (t.brokerGood || own && t.policy == shown(dir)) {
		all = append(all, t.gateway.Provider.Issuer)
	}
	if !t.brokerGood {
		return all
	}
	for _, issuer := range t.broker.Issuers {
		all = append(all, issuer.URL.String())
	}
	return slices.Concat([]string{}, all)
}

func (t *together) own() string {
	if t.flags.trustDomain != "" {
		return t.flags.trustDomain
	}
	if t.brokerGood && t.broker.Identity.Cert != "" {
		if svid, err := x509svid.Load(t.broker.Identity.Cert, t.broker.Identity.Key); err == nil {
			return svid.ID.TrustDomain().Name()
		}
	}
	if t.sidecarGood {
		return t.sidecar.Brokers.ID.TrustDomain().Name()
	}
	return ""
}

// most returns the domain with the most rules, of those that are not among the others.
func most(count map[string]int, others []string) (own string) {
	for _, domain := range slices.Sorted(maps.Keys(count)) {
		if !slices.Contains(others, domain) && count[domain] > count[own] {
			own = domain
		}
	}
	return own
}

// unusable finds services that no workload may use, and credentials that nobody can use therefore.
func (t *together) unusable() (all []finding) {
	used := map[string]bool{}
	var idle []*service.Service
	for _, s := range t.catalog.All() {
		if !t.usable(s) {
			idle = append(idle, s)
			continue
		}
		for _, name := range credentials(s) {
			used[name] = true
		}
	}
	for _, s := range idle {
		action, resource := wanted(s)
		f := found(ruleUnused, "", fmt.Sprintf("service %q: no rule lets any workload %s %s", s.Name, action, resource))
		names := slices.DeleteFunc(credentials(s), func(name string) bool { return used[name] })
		if len(names) > 0 {
			f.Rule, f.Message = ruleUnusable, f.Message+", so nobody can use the credential "+strings.Join(names, ", ")
		}
		f.File, f.Line, f.Column = position(s.Pos)
		f.Cure = fmt.Sprintf("p, spiffe://DOMAIN/CALLER, %s, %s, allow", action, resource)
		all = append(all, f)
	}
	return all
}

func (t *together) usable(s *service.Service) bool {
	call := policy.Entity{Type: "service", ID: s.Name}
	switch {
	case s.Vend != nil:
		return t.snapshot.Grants(policy.ActionVend, policy.Entity{Type: "credential", ID: s.Vend.Credential})
	case s.Token != nil && t.snapshot.Grants(policy.ActionExchange, policy.Entity{Type: "audience", ID: s.Token.Audience}):
		return true
	}
	return uncalled(s) == "" && t.snapshot.Grants(policy.ActionCall, call)
}

// wanted is what a caller of the service has to be allowed.
func wanted(s *service.Service) (action, resource string) {
	switch {
	case s.Vend != nil:
		return policy.ActionVend, "credential/" + s.Vend.Credential
	case s.Token != nil:
		return policy.ActionExchange, "audience/" + s.Token.Audience
	}
	return policy.ActionCall, "service/" + s.Name + "/**"
}

// waitsFor finds names in the sidecar's file that no service file has: it would never be ready.
func (t *together) waitsFor() (all []finding) {
	file, k := t.flags.sidecar, t.known()
	check := func(key, want string, names []string, have map[string]string) {
		for _, name := range names {
			if why, ok := have[name]; !ok || why != "" && key != "upstreams.ids" {
				all = append(all, named(file, key, name, want, slices.Collect(maps.Keys(have))))
			}
		}
	}
	check("hold.tokens", "no audience of a service file: the sidecar would never be ready", t.sidecar.Hold.Tokens, k.Audiences)
	check("hold.credentials", "vended by no service file: the sidecar would never be ready", t.sidecar.Hold.Credentials, k.Credentials)
	check("upstreams.ids", "no service of a service file", slices.Sorted(maps.Keys(t.sidecar.Upstreams.IDs)), k.Services)
	return all
}
