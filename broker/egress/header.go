package egress

import (
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/service"
)

// buildHeader fills the header of the upstream request. The credential comes last, so that nothing that
// travels can stand in its place.
func (a *act) buildHeader() error {
	in := a.upstream.service.Inject
	field := "Authorization"
	if in != nil {
		field = inject.Field(in)
	}
	a.header, a.secrets = make(http.Header, len(a.in.Header)+2), a.room[:0]
	hygiene.ForwardHeaders(a.header, a.in.Header, field)
	if hygiene.IsUpgrade(a.in) {
		a.header["Connection"], a.header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	a.propagate(a.header)
	if err := a.inject(in); err != nil {
		return err
	}
	a.remember(a.header.Get(field))
	return nil
}

func (a *act) inject(in *service.Inject) error {
	switch {
	case in == nil:
		t := a.upstream.service.Token
		return a.mint(t.Audience, t.Scope)
	case in.Mint != nil:
		return a.mint(in.Mint.Audience, in.Mint.Scope)
	}
	served, err := a.fetch(in.Credential())
	if err != nil {
		return err
	}
	for _, v := range served.Fields {
		if b := v.Reveal(); len(b) >= shortest {
			a.remember(string(b))
		}
	}
	return inject.Apply(a.header, in, served.Fields)
}

func (a *act) mint(audience string, scope []string) error {
	h := a.handler
	if h.cfg.Minter == nil {
		return fault.New(fault.Unavailable, "MINT_MISSING", "there is nobody to mint a token")
	}
	token, err := h.tokens.get(a, h, a.grant, audience, scope)
	if err != nil {
		return err
	}
	return inject.Bearer(a.header, token)
}

// shortest is the length below which a secret is not looked for in answers: it would be found by accident.
const shortest = 8

// remember keeps what must not come back in a response's head or trailer: the field as it was sent, and
// without its scheme.
func (a *act) remember(value string) {
	if _, credentials, ok := strings.Cut(value, " "); ok && len(credentials) >= shortest {
		value = credentials
	}
	if len(value) >= shortest {
		a.secrets = append(a.secrets, value)
	}
}

// scrub removes from a response's head or trailer what is not for the caller: cookies, which belong to no
// session of theirs, what only we may say, and every field in which the upstream says our secret back.
func (a *act) scrub(h http.Header) {
	for name, values := range h {
		if isOurs(name) || a.reveals(values) {
			delete(h, name)
		}
	}
}

func isOurs(name string) bool {
	switch name {
	case "Set-Cookie", "Set-Cookie2", "Authorization", "Alt-Svc":
		return true
	}
	return strings.HasPrefix(name, "Intercom-") || strings.HasPrefix(name, "Proxy-")
}

func (a *act) reveals(values []string) bool {
	for _, v := range values {
		for _, s := range a.secrets {
			if len(v) >= len(s) && strings.Contains(v, s) {
				return true
			}
		}
	}
	return false
}
