package provider_test

import (
	"context"
	"errors"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/secret"
)

func TestTryClient(t *testing.T) {
	s := server(t, nil)
	if err := open(t, s, nil).TryClient(t.Context(), callbackURI); err != nil {
		t.Errorf("a client as it should be: %v", err)
	}
	wrong := open(t, s, func(c *provider.Config) {
		c.Auth.Secret = func(context.Context) (secret.Value, error) { return secret.FromString("wrong"), nil }
	})
	var refused *provider.RefusedError
	if err := wrong.TryClient(t.Context(), callbackURI); !errors.As(err, &refused) || refused.Status != 401 || refused.Code != "unauthorized_client" {
		t.Errorf("another secret: %v", err)
	}
}

func TestMetadataAndMethod(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	if m, err := p.Metadata(); err != nil || m.Issuer != s.Issuer() || !m.BackChannel || !m.BackChannelSID {
		t.Errorf("%+v, %v", m, err)
	}
	if method, err := p.Method(); err != nil || method != provider.BySecretBasic {
		t.Errorf("%q, %v", method, err)
	}
}
