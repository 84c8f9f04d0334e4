package session_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
)

func TestMemory(t *testing.T) {
	sessiontest.Run(t, func(*testing.T) sessiontest.Open {
		m := session.NewMemory(nil)
		return func(*testing.T) session.Shared { return m }
	})
}
