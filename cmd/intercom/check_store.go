package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/strict"
)

// ownCredentials is where the broker itself keeps things in the store.
const ownCredentials = "intercom/"

// compareStore holds the names in the sealed file against those in the service files. It opens the file
// to read, and reads no values.
func (t *together) compareStore(ctx context.Context, r *report) {
	stored, err := t.stored(ctx)
	if err != nil {
		r.add(t.flags.config, err.finding)
		return
	}
	namedBy := map[string]string{}
	for _, s := range t.catalog.All() {
		for _, name := range credentials(s) {
			if _, ok := namedBy[name]; !ok {
				namedBy[name] = s.Pos
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(namedBy)) {
		if !slices.Contains(stored, name) {
			r.add(t.services, missing(name, namedBy[name], stored))
		}
	}
	for _, name := range stored {
		if _, ok := namedBy[name]; !ok {
			r.add(t.flags.config, unnamed(t.flags.config, name, slices.Collect(maps.Keys(namedBy))))
		}
	}
}

func missing(name, pos string, stored []string) finding {
	f := found(ruleMissing, "", fmt.Sprintf("the store has no credential %q", name))
	f.File, f.Line, f.Column = position(pos)
	f.Cure = "intercom credential put " + name
	if near := strict.Suggest(name, stored); near != "" {
		f.Cure = fmt.Sprintf("did you mean %q?", near)
	}
	return f
}

func unnamed(file, name string, known []string) finding {
	f := at(ruleUnnamed, file, "store.sealed.path", fmt.Errorf("no service file names the stored credential %q, so nobody can use it", name))
	f.Cure = "intercom credential delete " + name
	if near := strict.Suggest(name, known); near != "" {
		f.Cure = fmt.Sprintf("a service file names %q", near)
	}
	return f
}

// unread is why the store was not compared.
type unread struct{ finding finding }

func (t *together) stored(ctx context.Context) (names []string, _ *unread) {
	cfg := t.broker.Store.Sealed
	fail := func(key string, err error) *unread {
		return &unread{at(ruleStoreUnread, t.flags.config, key, err)}
	}
	key, err := sealed.ReadKey(cfg.Key.String())
	if err != nil {
		return nil, fail("store.sealed.key", err)
	}
	store, err := sealed.Open(sealed.Config{Path: cfg.Path, Key: key, MustExist: true})
	if err != nil {
		return nil, fail("store.sealed.path", errors.New(fault.From(err).Message))
	}
	all, err := store.List(ctx, credential.Name(""))
	if err != nil {
		return nil, fail("store.sealed.path", err)
	}
	for _, name := range all {
		if !strings.HasPrefix(string(name), ownCredentials) {
			names = append(names, string(name))
		}
	}
	return names, nil
}
