package broker

import (
	"context"

	"github.com/intercom-broker/intercom/broker/credential/vault"
)

// config is how a broker of the file speaks to Vault.
func (v Vault) config(identity vault.Identity) vault.Config {
	return vault.Config{
		Address: v.Address.String(), CACert: v.CA, Namespace: v.Namespace, Mount: v.Mount, Prefix: v.prefix(),
		Auth:     vault.Auth{Method: vault.Method(v.Auth.Method), Mount: v.Auth.Mount, Role: v.Auth.Role, Audience: v.Auth.Audience},
		Identity: identity, Timeout: v.Timeout.Std(),
	}
}

// Open opens Vault as a broker of the file does, for an operator's tool that looks at it from beside.
func (v Vault) Open(ctx context.Context, identity vault.Identity) (*vault.Store, error) {
	return vault.Open(ctx, v.config(identity))
}
