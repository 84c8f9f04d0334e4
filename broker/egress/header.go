package egress

import (
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// buildHeader fills the header of the upstream request. The credential comes last, so that nothing that
// travels can stand in its place.
func (a *act) buildHeader() error {
	a.attempt = attempt{header: make(http.Header, len(a.in.Header)+2)}
	if a.secrets == nil {
		a.secrets = a.room[:0]
	}
	hygiene.ForwardHeaders(a.header, a.in.Header, a.upstream.managed...)
	if hygiene.IsUpgrade(a.in) {
		a.header["Connection"], a.header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	a.propagate(a.header)
	for _, put := range a.upstream.steps {
		if err := put(a); err != nil {
			return err
		}
	}
	return nil
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
	if err := inject.Bearer(a.header, token); err != nil {
		return err
	}
	a.remember(a.header.Get("Authorization"))
	return nil
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
