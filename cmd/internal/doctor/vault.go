package doctor

import (
	"context"
	"slices"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/service"
)

// vault logs in as the broker does, and asks what that login may read.
func (b *brokerExam) vault(ctx context.Context, r rows) {
	v := b.Broker.Store.Vault
	source := b.identity.Load()
	switch {
	case v == nil:
		r.skip("credentials are in a sealed file, which intercom check compares")
		return
	case source == nil:
		r.skip("we have no SVID to log in with")
		return
	}
	store, err := v.Open(ctx, source)
	if err != nil {
		r.fail(key("store.vault"), "", "%s", why(err))
		return
	}
	defer store.Close()
	if h, ok := b.healthy(ctx, r, store); ok && b.loggedIn(ctx, r, store, h.Standby) {
		b.readable(ctx, r, store)
	}
}

func (b *brokerExam) healthy(ctx context.Context, r rows, store *vault.Store) (h vault.Health, ok bool) {
	asked := time.Now()
	h, err := store.Health(ctx)
	if err == nil {
		b.clocks.add("Vault", time.Unix(h.Clock, 0).Add(time.Second/2), asked, time.Now())
	}
	switch {
	case fault.From(err).Reason == vault.ReasonUntrusted && err != nil:
		r.fail(key("store.vault.ca"), "name the authority that vouches for Vault", "%s", why(err))
	case err != nil:
		r.fail(key("store.vault.address"), "start Vault, or correct the address", "%s", why(err))
	case !h.Initialized:
		r.fail(place{}, "vault operator init", "Vault is not initialised")
	case h.Sealed:
		r.fail(place{}, "vault operator unseal", "Vault is sealed")
	default:
		return h, true
	}
	return h, false
}

// loggedIn tries a login. What a standby cannot hand on is no refusal of ours.
func (b *brokerExam) loggedIn(ctx context.Context, r rows, store *vault.Store, standby bool) bool {
	token, err := store.Token(ctx)
	away := fault.KindOf(err) == fault.Unavailable && err != nil
	if standby && !away {
		r.ok("%s is a standby, and hands on to the active server", b.Broker.Store.Vault.Address.String())
	}
	switch {
	case standby && away:
		r.fail(key("store.vault.address"), "start the others of the cluster, or name one that is active", "%s is a standby, and knows no active server that answers: %s", b.Broker.Store.Vault.Address.String(), why(err))
		return false
	case away:
		r.fail(key("store.vault.address"), "look at what Vault logs", "%s", why(err))
		return false
	case fault.From(err).Reason == vault.ReasonPermissionDenied && err != nil:
		r.warn(key("store.vault.auth.role"), "let the role keep Vault's default policy", "it lets us in, and what the login is good for is not ours to see")
	case err != nil:
		r.fail(key("store.vault.auth"), "make role, bound_subject and bound_audiences fit us; the words of the refusal say which", "%s", why(err))
		return false
	case token.Life > 0 && token.Life < time.Minute:
		r.warn(key("store.vault.auth.role"), "give the role a token_ttl of an hour", "a login lasts %s: the broker does little else than to log in", round(token.Life))
	default:
		r.ok("it lets us in, for %s at a time", forever(token.Life))
	}
	return true
}

func forever(d time.Duration) string {
	if d == 0 {
		return "good"
	}
	return round(d)
}

// readable says which credentials of the service files the login may not read, and which are not there.
func (b *brokerExam) readable(ctx context.Context, r rows, store *vault.Store) {
	at := map[credential.Name]place{}
	var names []credential.Name
	for _, s := range b.services {
		for _, name := range credentialsOf(s) {
			if _, ok := at[name]; !ok {
				at[name] = place{pos: s.Pos}
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		r.skip("no service file names a credential")
		return
	}
	denied, err := store.Unreadable(ctx, names...)
	if err != nil {
		r.warn(key("store.vault.auth.role"), "let the role keep Vault's default policy", "what the login may read cannot be seen: %s", why(err))
		return
	}
	bad := len(denied)
	for _, name := range names {
		if slices.Contains(denied, name) {
			r.of(string(name)).fail(key("store.vault.auth.role"), `add to the role's policy: path "`+b.dataPath(name)+`" { capabilities = ["read"] }`, "the login may not read it")
		} else if there, err := store.Exists(ctx, name); err == nil && !there {
			bad++
			r.of(string(name)).fail(at[name], "write it into Vault, or correct the name", "there is no such credential")
		}
	}
	if bad == 0 {
		r.ok("the login may read %s of the service files", count(len(names), "credential", "credentials"))
	}
}

func (b *brokerExam) dataPath(name credential.Name) string {
	v := b.Broker.Store.Vault
	mount, prefix := v.Mount, v.Prefix
	if mount == "" {
		mount = "secret"
	}
	if prefix == "" {
		prefix = "intercom"
	}
	return mount + "/data/" + prefix + "/" + string(name)
}

func credentialsOf(s *service.Service) (names []credential.Name) {
	if v := s.Vends(); v != nil {
		names = append(names, credential.Name(v.Credential))
	}
	if s.Inject != nil {
		for _, name := range s.Inject.Credentials() {
			names = append(names, credential.Name(name))
		}
	}
	return names
}
