package egress

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/secret"
)

// attempt is what one sending of a request is made with. A 401 may lead to a second one.
type attempt struct {
	header http.Header
	url    *url.URL // nil where the place is the service's and the query the caller's
	host   string   // empty where it is the URL's
	pools  *pools   // nil where they are the service's
	uses   [5]use
	used   int
}

// use is one credential that an attempt was made with, and the token that it was traded for.
type use struct {
	name    string
	version uint64
	token   secret.Value
}

// note keeps which version an attempt is made with. There are at most five kinds of which each has one.
func (a *act) note(name string, version uint64) {
	if a.used < len(a.uses) {
		a.uses[a.used] = use{name: name, version: version}
		a.used++
	}
}

// credentials returns what the audit log is told: the one credential and its version, or all of them with
// theirs behind an @.
func (a *attempt) credentials() (names string, version uint64) {
	if a.used == 0 {
		return "", 0
	}
	for _, u := range a.uses[1:a.used] {
		if u.name != a.uses[0].name || u.version != a.uses[0].version {
			return a.list(), 0
		}
	}
	return a.uses[0].name, a.uses[0].version
}

func (a *attempt) list() string {
	var all []string
	for _, u := range a.uses[:a.used] {
		if name := fmt.Sprintf("%s@%d", u.name, u.version); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, ",")
}

// newer reports whether a was made with another version or token than before.
func (a *attempt) newer(before *attempt) bool {
	return !slices.EqualFunc(a.uses[:a.used], before.uses[:before.used], func(x, y use) bool {
		return x.name == y.name && x.version == y.version && x.token.Equal(y.token)
	})
}

// rememberFields keeps what the store has out of the answers.
func (a *act) rememberFields(fields credential.Fields) {
	for _, v := range fields {
		if b := v.Reveal(); len(b) >= shortest {
			a.remember(string(b))
		}
	}
}

// where is the URL that is sent. The path is the canonical one that was decided on; the query is untouched,
// unless a step made it anew.
func (a *act) where() url.URL {
	if a.url != nil {
		return *a.url
	}
	u := outbound.URL(a.upstream.base, a.target.path, a.in.URL)
	u.Scheme, u.Host = a.upstream.service.Upstream.URL.Scheme, a.upstream.service.Upstream.URL.Host
	return u
}

// place is the step after which others may change the URL.
func (a *act) place() error {
	u := a.where()
	a.url = &u
	return nil
}
