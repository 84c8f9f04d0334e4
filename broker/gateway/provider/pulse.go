package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

const (
	// heardLife is for how long an answer speaks for the provider: a login within it asks nothing.
	heardLife = 5 * time.Second
	// silentLife is for how long its silence does, and so how long one that is back is thought to be away.
	silentLife = 2 * time.Second
	// askTimeout is how long a person waits to be told.
	askTimeout = 1500 * time.Millisecond
)

// Answers returns nil where a browser that is sent to the provider now meets it there, and fault.Unavailable where it
// would meet nobody, or the error page of a proxy, with no way back to us.
//
// Every call from behind is listened to; only when none was answered for five seconds is the provider asked, once for all
// who want to know. It is asked for its metadata, at the issuer's own address: browsers go there too, and an
// authorization endpoint elsewhere need not be in our reach.
func (p *Provider) Answers(ctx context.Context) error {
	if _, err := p.ready(); err != nil {
		return err
	}
	return p.pulse.check(ctx)
}

// lookAgain is how often [Provider.Watch] looks whether the silence is over; look decides whether anything is asked.
const lookAgain = 200 * time.Millisecond

// Watch calls back whenever the provider is heard again after a silence, or for the first time, until ctx ends. A call that
// fails makes it ask, and as long as the silence lasts it asks again, whoever else wants to know.
func (p *Provider) Watch(ctx context.Context, back func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.pulse.watch:
		}
		for p.pulse.check(ctx) != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(lookAgain):
			}
		}
		if p.pulse.returned() {
			p.pulse.log.InfoContext(ctx, "the login provider answers")
			back()
		}
	}
}

// ask is the question of [Provider.Answers]. A realm that was renamed, and what answers in the place of the provider, are no
// provider: a browser would be sent to an error page without a way back.
func (p *Provider) ask(ctx context.Context) error {
	got, err := p.get(ctx, p.metadataURL())
	switch {
	case err != nil:
		return err
	case got.status == http.StatusTooManyRequests: // it is there, and may have time for a browser
		return nil
	case got.status != http.StatusOK:
		return unavailable(got.refusal())
	}
	var m Metadata
	if err := json.Unmarshal(got.body, &m); err != nil {
		return unavailable(fmt.Errorf("its metadata cannot be read: %w", err))
	}
	if m.Issuer != p.cfg.Issuer {
		return unavailable(fmt.Errorf("it says that it is %q", m.Issuer))
	}
	return nil
}

// beforeCall is asked before a call that waits for its answer. Where the call before it failed, the provider is asked first:
// if it is silent, nothing was sent that could be lost, and nobody waited for long. Of one that says that it cannot now the
// call finds out as fast.
func (p *Provider) beforeCall(ctx context.Context) error {
	if !p.pulse.doubted() {
		return nil
	}
	err := p.pulse.check(ctx)
	if _, said := errors.AsType[*RefusedError](err); said {
		return nil
	}
	return err
}

// listen takes note of what became of a call: status is zero where no answer came. An endpoint that is not there is as
// little an answer as one that fails: the provider may be gone from a server that runs.
func (p *Provider) listen(to *url.URL, status int) {
	if to.Host == p.pulse.host {
		p.pulse.note(status != 0 && status != http.StatusNotFound && status < http.StatusInternalServerError)
	}
}

// pulse is whether the provider answers, as far as we have heard.
type pulse struct {
	host string // of the issuer
	ask  func(context.Context) error
	now  func() time.Time
	log  *slog.Logger

	mu     sync.Mutex
	heard  time.Time // of the last answer
	doubt  bool      // a call has failed since
	failed error     // of the last question; nil where an answer came since
	asked  time.Time
	flight chan struct{} // closed when the question under way is answered, or not

	silent bool          // until Watch has heard that it is over; both are logged
	watch  chan struct{} // has one when there is something for Watch to see
}

func newPulse(cfg Config, ask func(context.Context) error) *pulse {
	u, err := url.Parse(cfg.Issuer)
	if err != nil {
		u = &url.URL{} // Config.check has said so
	}
	return &pulse{host: u.Host, ask: ask, now: cfg.Now, log: cfg.Logger.With("issuer", cfg.Issuer), watch: make(chan struct{}, 1)}
}

// note believes an answer. A call that failed alone is a doubt: it may be the call's own fault, so the next who wants to
// know asks.
func (p *pulse) note(answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doubt = !answered; answered {
		p.heard, p.failed = p.now(), nil
		return
	}
	p.wake()
}

func (p *pulse) doubted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doubt
}

// known is check for who does not wait.
func (p *pulse) known() error {
	flight, err := p.look()
	if flight == nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *pulse) check(ctx context.Context) error {
	flight, err := p.look()
	if flight == nil {
		return err
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return fault.New(fault.Timeout, "", "the caller left while the login provider was asked").Because(ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// look returns the question that will tell, or nil and what is known. The question belongs to nobody who waits for it: one
// who leaves takes it from no other.
func (p *pulse) look() (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	switch {
	case !p.doubt && now.Sub(p.heard) < heardLife:
		return nil, nil
	case p.failed != nil && now.Sub(p.asked) < silentLife:
		return nil, p.failed
	}
	if p.flight == nil {
		p.flight = make(chan struct{})
		go p.question(p.flight)
	}
	return p.flight, nil
}

func (p *pulse) question(flight chan<- struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	if err := p.ask(ctx); p.conclude(flight, err) {
		p.log.WarnContext(ctx, "the login provider does not answer: nobody can log in", "error", err)
	}
}

// conclude ends a question, and reports whether a silence begins with it.
func (p *pulse) conclude(flight chan<- struct{}, err error) (begins bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flight, p.failed, p.asked = nil, err, p.now()
	if err != nil { // also where somebody answered, who is not the provider
		begins = !p.silent
		p.doubt, p.silent = true, true
		p.wake()
	}
	close(flight)
	return begins
}

// wake has Watch look.
func (p *pulse) wake() {
	select {
	case p.watch <- struct{}{}:
	default:
	}
}

// began is for the first answer of one that was away when we began: until then he was silent.
func (p *pulse) began() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
	p.wake()
}

// returned reports whether a silence is over, once.
func (p *pulse) returned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.silent
	p.silent = false
	return was
}
