package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// checkBrowser is what a person would click: log in, see the session, call both services, be refused, log out.
func (w *World) checkBrowser(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	b := newBrowser()
	if a, err := w.fetch(ctx, b, http.MethodGet, "/inventory/items"); err != nil || a.status != http.StatusUnauthorized {
		return "", unexpected("before the login", a, err)
	}
	if a, err := b.login(ctx, w.Gateway, w.Provider, "alice"); err != nil || a.status != http.StatusOK {
		return "", unexpected("the login", a, err)
	}
	session, err := w.session(ctx, b)
	if err != nil || session.Sub != "alice" {
		return "", fmt.Errorf("the session is %+v: %w", session, err)
	}
	for path, want := range map[string]string{"/inventory/items": "washers", "/crm/customers": "Grace"} {
		if a, err := w.fetch(ctx, b, http.MethodGet, path); err != nil || a.status != http.StatusOK || !strings.Contains(a.body, want) {
			return "", unexpected(path, a, err)
		}
	}
	a, err := w.fetch(ctx, b, http.MethodDelete, "/crm/customers/7", "X-CSRF-Token", session.CSRF)
	if err != nil || a.status != http.StatusForbidden || a.header.Get(fault.DecisionHeader) == "" {
		return "", unexpected("DELETE at crm", a, err)
	}
	return "alice called inventory and crm, and may not delete", w.checkLogout(ctx, b, session.CSRF)
}

// checkLogout ends the session here and at the provider.
func (w *World) checkLogout(ctx context.Context, b *browser, csrf string) error {
	a, err := w.fetch(ctx, b, http.MethodPost, "/bff/logout", "X-CSRF-Token", csrf)
	var said struct {
		LogoutURL string `json:"logout_url"`
	}
	if err != nil || json.Unmarshal([]byte(a.body), &said) != nil || !strings.HasPrefix(said.LogoutURL, w.Provider) {
		return unexpected("the logout", a, err)
	}
	if a, err = b.navigate(ctx, said.LogoutURL); err != nil || a.status != http.StatusOK {
		return unexpected("the logout at the provider", a, err)
	}
	if a, err = w.fetch(ctx, b, http.MethodGet, "/inventory/items"); err != nil || a.status != http.StatusUnauthorized {
		return unexpected("after the logout", a, err)
	}
	return nil
}

// checkGroups: bob logs in as well as alice, and is not of the group that may call.
func (w *World) checkGroups(ctx context.Context) (string, error) {
	b := newBrowser()
	if a, err := b.login(ctx, w.Gateway, w.Provider, "bob"); err != nil || a.status != http.StatusOK {
		return "", unexpected("the login", a, err)
	}
	a, err := w.fetch(ctx, b, http.MethodGet, "/crm/customers")
	if err != nil || a.status != http.StatusForbidden {
		return "", unexpected("bob at crm", a, err)
	}
	return "decision " + a.header.Get(fault.DecisionHeader), nil
}

// fetch is what a page of the gateway's origin does.
func (w *World) fetch(ctx context.Context, b *browser, method, path string, headers ...string) (answer, error) {
	return b.do(ctx, method, w.Gateway+path, nil, append(headers, "Origin", w.Gateway, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors")...)
}

// sessionState is what the check wants to know.
type sessionState struct {
	Sub  string `json:"sub"`
	CSRF string `json:"csrf_token"`
}

func (w *World) session(ctx context.Context, b *browser) (s sessionState, err error) {
	a, err := w.fetch(ctx, b, http.MethodGet, "/bff/session")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(a.body), &s)
}

// unexpected says what came in place of what should have.
func unexpected(what string, a answer, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: got %d: %.300s", what, a.status, a.body)
}
