package provider

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Request is what a login is to be like.
type Request struct {
	// RedirectURI is where the browser comes back; required. Each origin has its own.
	RedirectURI string
	// Prompt is "none" (say at once whether somebody is logged in), "login" (ask again), or empty.
	Prompt string
	// ACR are levels of which the login must reach one; nil means any.
	ACR []string
	// MaxAge is how long ago the user may have proven who they are; 0 means as long as the provider
	// likes. With Prompt "login" nothing older than the transaction counts.
	MaxAge time.Duration
	// Locales are the user's languages, and Hint whom to propose; both may be empty.
	Locales, Hint string
}

// Transaction is what [Provider.Redeem] compares the answer with. It is for one browser and one use; its
// secrets are not for the log.
type Transaction struct {
	State, Nonce, Verifier secret.Value
	RedirectURI            string
	Prompt                 string
	ACR                    []string
	MaxAge                 time.Duration
	// Started is when the browser was sent off.
	Started time.Time
}

// AuthorizationURL returns where to send the browser, and what to keep until it is back.
func (p *Provider) AuthorizationURL(ctx context.Context, req Request) (string, Transaction, error) {
	r, err := p.ready()
	if err != nil {
		return "", Transaction{}, err
	}
	if !slices.Contains([]string{"", "none", "login"}, req.Prompt) {
		return "", Transaction{}, fault.New(fault.InvalidRequest, "PROMPT", "prompt is none or login, or absent")
	}
	verifier, state, nonce := oauth2.GenerateVerifier(), rand.Text()+rand.Text(), rand.Text()+rand.Text()
	tx := Transaction{
		State: secret.FromString(state), Nonce: secret.FromString(nonce), Verifier: secret.FromString(verifier),
		RedirectURI: req.RedirectURI, Prompt: req.Prompt, ACR: slices.Clone(req.ACR), MaxAge: req.MaxAge, Started: p.cfg.Now(),
	}
	flow := oauth2.Config{
		ClientID: p.cfg.ClientID, RedirectURL: req.RedirectURI, Scopes: p.cfg.Scopes, Endpoint: oauth2.Endpoint{AuthURL: r.Authorization},
	}
	options := append(req.options(), oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", nonce))
	address := flow.AuthCodeURL(state, options...)
	if p.cfg.PAR || r.RequirePAR {
		address, err = p.push(ctx, r, address)
	}
	return address, tx, err
}

// options never name a response_mode: the answer in a query comes with our Lax cookie, one that is posted
// does not.
func (req Request) options() (options []oauth2.AuthCodeOption) {
	set := func(name, value string) {
		if value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	set("prompt", req.Prompt)
	set("acr_values", strings.Join(req.ACR, " "))
	set("ui_locales", req.Locales)
	set("login_hint", req.Hint)
	switch {
	case req.Prompt == "login":
		// Without it the provider need not say when the user proved who they are, and prompt alone is a
		// parameter that a user can take out of the address.
		set("max_age", "0")
	case req.MaxAge > 0:
		set("max_age", strconv.Itoa(int(req.MaxAge.Seconds())))
	}
	return options
}

// push sends the request from behind (RFC 9126, section 2.1), so that nobody on the front can read or change
// it, and returns the address that stands for it.
func (p *Provider) push(ctx context.Context, r *ready, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", unavailable(err)
	}
	got, err := p.post(ctx, r, r.PAR, u.Query())
	if err != nil {
		return "", failed(err)
	}
	if !got.success() {
		return "", got.fault()
	}
	var pushed struct {
		URI string `json:"request_uri"`
	}
	if err := got.decode(&pushed); err != nil || pushed.URI == "" {
		return "", unavailable(fmt.Errorf("pushing a request: no request_uri: %w", err))
	}
	front := url.Values{"client_id": {p.cfg.ClientID}, "request_uri": {pushed.URI}}
	u, err = url.Parse(r.Authorization)
	if err != nil {
		return "", unavailable(err)
	}
	query := u.Query()
	for name, values := range front {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
