package providersuite

import (
	"testing"
	"time"
)

// Run tests a provider, in three worlds side by side: keys wait a while before they sign.
func Run(t *testing.T, d Driver) {
	t.Run("with a secret", func(t *testing.T) {
		t.Parallel()
		w := d.Start(t, Client{})
		t.Run("login", w.login)
		t.Run("services", w.services)
		t.Run("prompts", w.prompts)
		t.Run("stolen answers", w.stolen)
		t.Run("overtaken by a logout", w.overtaken)
		t.Run("logout", w.logout)
		t.Run("logout at the provider", w.endedThere)
		t.Run("two origins", w.twoOrigins)
	})
	t.Run("with short tokens", func(t *testing.T) {
		t.Parallel()
		w := d.Start(t, Client{Life: 5 * time.Second})
		t.Run("refresh", w.refresh)
		t.Run("nobody is told", w.forgotten)
	})
	t.Run("with keys", func(t *testing.T) {
		t.Parallel()
		d.Start(t, Client{Keys: true}).keys(t)
	})
}
