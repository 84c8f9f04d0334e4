package openid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// byAssertion takes a private_key_jwt (OpenID Connect Core 1.0, section 9).
func (p *Provider) byAssertion(ctx context.Context, form url.Values) (*Client, error) {
	raw := form.Get("client_assertion")
	id, err := unverified(raw)
	if err != nil {
		return nil, badAssertion("Invalid client assertion")
	}
	c := p.client(id)
	if c == nil || form.Has("client_id") && form.Get("client_id") != id {
		return nil, badAssertion("Invalid client assertion")
	}
	claims := &jwt.RegisteredClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "EdDSA", "RS256", "PS256"}), jwt.WithoutClaimsValidation())
	_, err = parser.ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		return p.clientKey(ctx, c, kid)
	})
	if err != nil {
		return nil, badAssertion("Unable to load public key")
	}
	return c, p.checkAssertion(claims)
}

func (p *Provider) clientKey(ctx context.Context, c *Client, kid string) (any, error) {
	if found := c.Keys.Key(kid); len(found) == 1 {
		return found[0].Key, nil
	}
	p.mu.Lock()
	remote := p.remote[c.ID]
	p.mu.Unlock()
	return remote.key(ctx, p.cfg.HTTP, kid, p.cfg.Now())
}

// remoteInterval is how soon a client's keys are fetched again for a kid that they lack: who uses a new key
// sooner than that after another is refused.
const remoteInterval = 10 * time.Second

// remoteKeys are the keys at a client's jwks_uri.
type remoteKeys struct {
	url string

	mu    sync.Mutex
	set   jose.JSONWebKeySet
	tried time.Time
}

func (k *remoteKeys) key(ctx context.Context, client *http.Client, kid string, now time.Time) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found := k.set.Key(kid); len(found) == 1 {
		return found[0].Key, nil
	}
	if k.url == "" || now.Sub(k.tried) < remoteInterval {
		return nil, errors.New("openid: no such key")
	}
	k.tried = now
	set, err := fetchKeys(ctx, client, k.url)
	if err != nil {
		return nil, err
	}
	k.set = set
	if found := k.set.Key(kid); len(found) == 1 {
		return found[0].Key, nil
	}
	return nil, errors.New("openid: no such key")
}

func fetchKeys(ctx context.Context, client *http.Client, url string) (set jose.JSONWebKeySet, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return set, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return set, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return set, fmt.Errorf("openid: %s answered %s", url, resp.Status)
	}
	return set, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&set)
}
