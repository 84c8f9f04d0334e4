package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

// theProvider is how its clock is called.
const theProvider = "the provider"

// answerLife is how long a signed answer of Keycloak's is good where a realm's Client login timeout is what it was.
const answerLife = time.Minute

// providersClock reads the clock of a provider whose answers have no Date, as Keycloak's have none, off an answer that it
// signs: that it is good until exp (JARM, section 2.1). What else it lives than we think looks as if the clock was wrong,
// so a proof of this moment is the second witness then (RFC 9449, section 4.3). It has no row of its own.
func (g *gatewayExam) providersClock(ctx context.Context, _ rows) {
	p := g.provider.Load()
	if p == nil {
		return
	}
	g.clocks.want(theProvider)
	m, err := p.Metadata()
	if err != nil || m.RequirePAR || g.Gateway.Provider.PAR {
		return
	}
	got, end, err := g.signedAnswer(ctx, p)
	if err != nil {
		return
	}
	now := g.Now()
	said := end.Add(-answerLife)
	if said.Sub(now).Abs() > skewWarn {
		switch takes, err := g.takesProof(ctx); {
		case err != nil:
			return
		case takes:
			said = now
		}
	}
	g.clocks.add(theProvider, said, got.asked, got.came)
}

// signedAnswer begins a login that shows nothing, and returns when the answer to it ends. Nothing is decided by that, so
// it is not verified.
func (g *gatewayExam) signedAnswer(ctx context.Context, p *provider.Provider) (got answer, end time.Time, err error) {
	address, _, err := p.AuthorizationURL(ctx, provider.Request{RedirectURI: g.callback(), Prompt: "none"})
	if err != nil {
		return got, end, err
	}
	if got, err = ask(ctx, g.toProvider(), http.MethodGet, address+"&response_mode=query.jwt", nil); err != nil {
		return got, end, err
	}
	back, err := url.Parse(got.header.Get("Location"))
	if err != nil {
		return got, end, err
	}
	var claims jwt.RegisteredClaims
	if _, _, err = jwt.NewParser().ParseUnverified(back.Query().Get("response"), &claims); err != nil {
		return got, end, err
	}
	if claims.ExpiresAt == nil {
		return got, end, errors.New("it has no end")
	}
	return got, claims.ExpiresAt.Time, nil
}

// takesProof reports whether the provider takes a proof of this moment; an error where that cannot be told.
func (g *gatewayExam) takesProof(ctx context.Context) (bool, error) {
	e := g.examiner()
	e.Config.Provider.DPoP = true
	p, err := e.Provider(ctx)
	if err != nil {
		return false, err
	}
	if silent(p) {
		return false, errors.New("only the gateways have a proof")
	}
	err = p.TryClient(ctx, g.callback())
	if refused, ok := errors.AsType[*provider.RefusedError](err); ok && says(refused, "DPoP", "dpop") {
		return false, nil
	}
	return err == nil, err
}
