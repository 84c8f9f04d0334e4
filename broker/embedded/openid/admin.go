package openid

import "context"

// EndSession ends every session of a user, as an administrator does, and tells their clients on the back
// channel. It returns how many there were.
func (p *Provider) EndSession(ctx context.Context, user string) int {
	p.mu.Lock()
	var mine []*session
	for _, s := range p.sessions {
		if s.user.Name == user && p.aliveLocked(s, p.cfg.Now()) {
			mine = append(mine, s)
		}
	}
	p.mu.Unlock()
	p.endAll(ctx, mine...)
	return len(mine)
}

// DisableUser keeps a user from logging in and from refreshing. Nobody is told: who holds tokens finds out at
// the next refresh.
func (p *Provider) DisableUser(name string) { p.setDisabled(name, true) }

// EnableUser undoes DisableUser.
func (p *Provider) EnableUser(name string) { p.setDisabled(name, false) }

func (p *Provider) setDisabled(name string, disabled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disabled[name] = disabled
}

// SetGroups puts a user into these groups and no others. What tokens say that are out stays.
func (p *Provider) SetGroups(name string, groups ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.cfg.Users {
		if p.cfg.Users[i].Name == name {
			p.cfg.Users[i].Groups = groups
		}
	}
}
