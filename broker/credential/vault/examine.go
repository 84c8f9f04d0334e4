package vault

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/intercom-broker/intercom/broker/credential"
)

// Health is what Vault says of itself to everybody (sys/health).
type Health struct {
	Initialized bool `json:"initialized"`
	Sealed      bool `json:"sealed"`
	// Standby: another server of the cluster does the work, and this one leads requests on to it.
	Standby bool   `json:"standby"`
	Version string `json:"version"`
	// Clock is Vault's, in seconds since 1970.
	Clock int64 `json:"server_time_utc"`
}

// healthPath answers 200 whatever the state: an answer of 503 would be taken for a failure.
const healthPath = "sys/health"

// Health asks without a login.
func (s *Store) Health(ctx context.Context) (h Health, err error) {
	query := map[string][]string{"standbyok": {"true"}, "perfstandbyok": {"true"}, "sealedcode": {"200"}, "uninitcode": {"200"}}
	err = s.caller.send(ctx, s.session.lanes.data, "health", get(healthPath, query), &h)
	return h, err
}

// Token is what Vault says of our login.
type Token struct {
	// Life is how long it was given, and Left how long it still lasts; zero means for ever.
	Life, Left time.Duration
	// Renewable says whether it is renewed, and not replaced by another login.
	Renewable bool
	// Policies are what it may do.
	Policies []string
}

// Token waits for the login, and asks what it is good for.
func (s *Store) Token(ctx context.Context) (Token, error) {
	var answer struct {
		Data struct {
			CreationTTL int64    `json:"creation_ttl"`
			TTL         int64    `json:"ttl"`
			Renewable   bool     `json:"renewable"`
			Policies    []string `json:"policies"`
		} `json:"data"`
	}
	err := s.do(ctx, "lookup", get("auth/token/lookup-self", nil), &answer)
	d := answer.Data
	return Token{time.Duration(d.CreationTTL) * time.Second, time.Duration(d.TTL) * time.Second, d.Renewable, d.Policies}, err
}

// Unreadable returns those of the names that our login may not read, by sys/capabilities-self: nothing is read.
func (s *Store) Unreadable(ctx context.Context, names ...credential.Name) (denied []credential.Name, err error) {
	paths := map[string][]string{"paths": {}}
	for _, name := range names {
		if err := name.Check(); err != nil {
			return nil, err
		}
		paths["paths"] = append(paths["paths"], s.path("data", name))
	}
	body, err := json.Marshal(paths)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var answer struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	err = s.do(ctx, "capabilities", func(ctx context.Context, v *api.Logical) (*api.Response, error) {
		return v.WriteRawWithContext(ctx, "sys/capabilities-self", body)
	}, &answer)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var can []string
		if err := json.Unmarshal(answer.Data[s.path("data", name)], &can); err != nil {
			return nil, errors.New("sys/capabilities-self does not say what was asked")
		}
		if !slices.Contains(can, "read") && !slices.Contains(can, "root") {
			denied = append(denied, name)
		}
	}
	return denied, nil
}

// Exists reports whether there is a credential of that name, without reading it. Where our login may not read metadata
// it is a failure with [ReasonPermissionDenied].
func (s *Store) Exists(ctx context.Context, name credential.Name) (bool, error) {
	if err := name.Check(); err != nil {
		return false, err
	}
	version, err := s.version(ctx, name)
	return version > 0, err
}
