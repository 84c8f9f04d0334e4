package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/broker/svid"
)

// LocalError is what a start would say of what it reads from its machine.
type LocalError struct {
	// Key is the setting, such as "provider.ca".
	Key string
	// Err names the path, or the variable.
	Err error
	// Elsewhere: it is not here, or not for us to read, and may be well on the machine that the file is for.
	Elsewhere bool
}

// Error implements error.
func (e *LocalError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *LocalError) Unwrap() error { return e.Err }

// CheckLocal reads what a start reads from its machine, but the doors' certificate, the service files and the policy, whose
// packages say more of them. It asks no network, so what a broker leases is left out.
func (c *Config) CheckLocal(ctx context.Context) (found []*LocalError) {
	note := func(key string, err error) {
		if err != nil {
			away := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errNotSet)
			found = append(found, &LocalError{key, err, away})
		}
	}
	_, err := authorities(c.Provider.CA)
	note("provider.ca", err)
	note("provider.secret", readable(ctx, c.Provider.Secret))
	_, err = authorities(c.UpstreamCA)
	note("upstream_ca", err)
	_, err = openTheme(c.Theme)
	note("theme", err)
	note("audit.dir", checkDir(c.Audit.Dir))
	if id := c.Identity; id.Socket == "" {
		note("identity", checkIdentity(ctx, id))
	}
	c.checkLocalSessions(ctx, note)
	return found
}

func (c *Config) checkLocalSessions(ctx context.Context, note func(key string, err error)) {
	r := c.Sessions.Redis
	if r == nil {
		return
	}
	note("sessions.redis.password", readable(ctx, r.Password))
	note("sessions.redis.sentinel.password", readable(ctx, r.Sentinel.Password))
	note("sessions.redis.tls", r.TLS.Check())
	var keys []secret.Value
	for _, ref := range c.Sessions.Keys {
		if !local(ref) {
			return // the ring is not whole without it
		}
		some, err := (&secrets{}).keysOf(ctx, ref)
		if err != nil {
			note("sessions.keys", err)
			return
		}
		keys = append(keys, some...)
	}
	_, err := session.NewRing(keys...)
	note("sessions.keys", err)
}

// local reports whether a reference is read from the machine.
func local(ref strict.Ref) bool { return ref.Scheme == "file" || ref.Scheme == "env" }

// readable reads a secret that is on the machine, and lets go of it.
func readable(ctx context.Context, ref strict.Ref) error {
	if !local(ref) {
		return nil
	}
	_, err := (&secrets{}).read(ctx, ref)
	return err
}

// openTheme opens the pages in the looks of a folder; in ours without one.
func openTheme(dir string) (*page.Pages, error) {
	if dir == "" {
		return page.New(nil)
	}
	if _, err := os.ReadDir(dir); err != nil { // in words that name it
		return nil, err
	}
	pages, err := page.New(os.DirFS(dir))
	if err != nil {
		err = fmt.Errorf("%s: %w", dir, err)
	}
	return pages, err
}

// checkDir looks whether a directory is there, or can be made; it makes none.
func checkDir(dir string) error {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at):
			continue
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is no directory", at)
		}
		return nil
	}
}

func checkIdentity(ctx context.Context, id Identity) error {
	s, err := svid.Open(ctx, svid.Config{CertFile: id.Cert, KeyFile: id.Key, Bundles: id.Bundles})
	if err != nil {
		return err
	}
	return s.Close()
}
