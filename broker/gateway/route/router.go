package route

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/service"
)

// Router holds the table of the service files in force. Files that make no table leave the old one in
// force, as those do that do not hold.
type Router struct {
	services *service.Watcher
	hosts    []string
	rules    []Rule
	log      *slog.Logger
	now      atomic.Pointer[state]
}

type state struct {
	table *Table
	err   error // why the catalogue of now is not in the table
}

// Open makes the first table. hosts are those of the gateway's origins.
func Open(services *service.Watcher, hosts []string, log *slog.Logger, rules ...Rule) (*Router, error) {
	t, err := New(services.Current(), hosts, rules...)
	if err != nil {
		return nil, err
	}
	r := &Router{services: services, hosts: hosts, rules: rules, log: log}
	r.now.Store(&state{table: t})
	return r, nil
}

// Table returns the table in force.
func (r *Router) Table() *Table { return r.now.Load().table }

// Err returns why the service files in force have no table, and nil when they have.
func (r *Router) Err() error { return r.now.Load().err }

// Run follows the service files until ctx ends. It returns nil then.
func (r *Router) Run(ctx context.Context) error {
	for {
		changed := r.services.Changed()
		r.follow(ctx, r.services.Current())
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Router) follow(ctx context.Context, c *service.Catalog) {
	t, err := New(c, r.hosts, r.rules...)
	if err != nil {
		r.log.ErrorContext(ctx, "routes: refused; the old ones stay in force", "revision", c.Revision(), "error", err)
		t = r.Table()
	} else {
		r.log.InfoContext(ctx, "routes: in force", "revision", c.Revision(), "routes", t.Len())
	}
	r.now.Store(&state{t, err})
}
