package egress

import (
	"net/url"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
)

// plan is how the requests to a service are made: worked out once for each change of the service files, so
// that a request pays for the kinds that its service uses and for no others.
type plan struct {
	managed []string   // the header fields that the steps set
	beside  []question // what is put in, and a rule may deny
	steps   []step     // in order
	rotates bool       // something comes from the store, so that a 401 may be about its version
	clients *clients   // where there is a client certificate
	tokens  *inject.Tokens
}

// step puts one credential into the act's attempt.
type step func(*act) error

// newPlan returns the plan for s. What old keeps for the same settings it takes over: tokens, and connections
// with a certificate.
func (h *Handler) newPlan(s *service.Service, old *upstream) (p plan) {
	switch in := s.Inject; {
	case s.Token != nil:
		p.mint(s.Token.Audience, s.Token.Scope)
	case in == nil:
		return p // it is vended
	default:
		p.managed = inject.Fields(in)
		p.credentials(in)
		h.planConnections(&p, s, old)
		p.planHeader(in)
		h.planTokens(&p, s, old)
		if in.Query != nil || in.SigV4 != nil || in.HMAC != nil {
			p.steps = append(p.steps, (*act).place)
		}
		if in.Query != nil {
			p.steps = append(p.steps, putQuery(in.Query))
		}
		p.planSignature(in)
	}
	return p
}

func (p *plan) mint(audience string, scope []string) {
	p.managed = []string{"Authorization"}
	p.beside = append(p.beside, question{policy.ActionExchange, policy.Entity{Type: "audience", ID: audience}})
	p.steps = append(p.steps, func(a *act) error { return a.mint(audience, scope) })
}

func (p *plan) credentials(in *service.Inject) {
	for _, name := range in.Credentials() {
		p.rotates = true
		p.beside = append(p.beside, question{policy.ActionVend, policy.Entity{Type: "credential", ID: name}})
	}
}

// planHeader gives each kind that is one header field an Inject of its own.
func (p *plan) planHeader(in *service.Inject) {
	switch {
	case in.Mint != nil:
		p.mint(in.Mint.Audience, in.Mint.Scope)
		p.managed = inject.Fields(in)
	case in.Basic != nil:
		p.steps = append(p.steps, putStored(&service.Inject{Basic: in.Basic}))
	case in.Bearer != nil:
		p.steps = append(p.steps, putStored(&service.Inject{Bearer: in.Bearer}))
	}
	if in.Header != nil {
		p.steps = append(p.steps, putStored(&service.Inject{Header: in.Header}))
	}
}

func putStored(in *service.Inject) step {
	name, field := in.Credentials()[0], inject.Fields(in)[0]
	return func(a *act) error {
		served, err := a.fetch(name)
		if err != nil {
			return err
		}
		a.rememberFields(served.Fields)
		if err := inject.Apply(a.header, in, served.Fields); err != nil {
			return err
		}
		a.remember(a.header.Get(field))
		return nil
	}
}

func putQuery(in *service.QueryRef) step {
	return func(a *act) error {
		served, err := a.fetch(in.Credential)
		if err != nil {
			return err
		}
		a.rememberFields(served.Fields)
		for _, v := range served.Fields {
			a.remember(url.QueryEscape(string(v.Reveal()))) // as a Location would repeat it
		}
		a.url.RawQuery, err = inject.Query(a.url.RawQuery, in, served.Fields)
		return err
	}
}

// planTokens adds the step for a token of the service's own authorization server.
func (h *Handler) planTokens(p *plan, s *service.Service, old *upstream) {
	how := s.Inject.OAuth2
	if how == nil {
		return
	}
	if old != nil && old.tokens != nil && sameOAuth2(old.service.Inject.OAuth2, how) {
		p.tokens = old.tokens
	} else {
		p.tokens = inject.NewTokens(how, inject.TokensConfig{Transport: h.newTokenTransport(how.Dial), Now: h.cfg.Now, Logger: h.cfg.Logger})
	}
	tokens := p.tokens
	p.steps = append(p.steps, func(a *act) error {
		served, err := a.fetch(how.Credential)
		if err != nil {
			return err
		}
		token, err := tokens.Get(a, served.Credential)
		if err != nil {
			return err
		}
		a.uses[a.used-1].token = token
		if err := inject.Bearer(a.header, token); err != nil {
			return err
		}
		a.remember(a.header.Get("Authorization"))
		return nil
	})
}
