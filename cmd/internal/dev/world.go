package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/freeport"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/policies"
	"github.com/intercom-broker/intercom/sidecar"
)

// Config says where the walk takes place.
type Config struct {
	// Dir gets everything that is written; it is created when missing. Empty means a new temporary
	// directory that Close removes.
	Dir string
	// Sidecar is the address of the sidecar beside orders; empty means 127.0.0.1:4140, or a free port
	// when that is taken.
	Sidecar string
	// Gateway is the address of the gateway, on loopback; empty means 127.0.0.1:8480, or a free port when that is
	// taken.
	Gateway string
	// Frontend is the URL of a server on this machine that the gateway shows at its root in place of our page.
	Frontend string
	// Alerts is where the broker's errors are shown beside its log; nil means nowhere.
	Alerts io.Writer
}

// World is everything that runs, with its addresses.
type World struct {
	// Dir is where everything is written.
	Dir string
	// Issuer is the web door, Sidecar and Orders are URLs; the others are host:port.
	Issuer, Sidecar, Orders             string
	Mesh, Egress, Admin, Inventory, CRM string
	SidecarAdmin, GatewayAdmin          string
	// Gateway and Provider are the URLs that a browser opens.
	Gateway, Provider string

	domain    *embedded.Domain
	portal    string // where our page is served
	own       string // the server to show in its place
	alerts    io.Writer
	temporary bool
	stop      context.CancelFunc
	running   *errgroup.Group
}

// The user and the password that crm wants. The password is made anew at every start.
const crmUser = "intercom"

// Start starts everything and returns when all of it is ready.
func Start(ctx context.Context, cfg Config) (_ *World, err error) {
	w, err := newWorld(cfg)
	if err != nil {
		return nil, err
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.running, ctx = errgroup.WithContext(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	for _, step := range []func(context.Context) error{w.startDomain, w.startDemos, w.startProvider, w.writeFiles, w.startBroker, w.startSidecar, w.startGateway} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return w, w.ready(ctx)
}

func newWorld(cfg Config) (w *World, err error) {
	if err := errors.Join(checkFrontend(cfg.Frontend), checkGateway(cfg.Gateway)); err != nil {
		return nil, err
	}
	w = &World{Dir: cfg.Dir, temporary: cfg.Dir == "", alerts: io.Discard, own: cfg.Frontend}
	if cfg.Alerts != nil {
		w.alerts = alerts{cfg.Alerts}
	}
	if w.temporary {
		if w.Dir, err = os.MkdirTemp("", "intercom-dev-"); err != nil {
			return nil, err
		}
	} else if err := own(w.Dir); err != nil {
		return nil, err
	}
	if w.Dir, err = filepath.Abs(w.Dir); err != nil {
		return nil, err
	}
	w.Sidecar = "http://" + addressFor(cfg.Sidecar, usualSidecar)
	w.Gateway, w.Provider = localhost(addressFor(cfg.Gateway, usualGateway)), localhost(freeAddress())
	return w, nil
}

// marker says that a directory is dev's own.
const marker = ".intercom-dev"

// own makes dir, or takes one that an earlier dev has made. One with anything else in it is left alone.
func own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, marker)
	if _, err := os.Stat(file); len(entries) > 0 && err != nil {
		return fmt.Errorf("%s is not empty, and not from an earlier intercom dev: name another directory", dir)
	}
	return os.WriteFile(file, []byte("intercom dev writes here\n"), 0o600)
}

// usualSidecar is the address that all examples name.
const usualSidecar = "127.0.0.1:4140"

// addressFor is the wanted one, or the usual one where that is free.
func addressFor(want, usual string) string {
	switch {
	case strings.HasSuffix(want, ":0"):
		return freeAddress()
	case want != "":
		return want
	}
	if l, err := net.Listen("tcp", usual); err == nil {
		l.Close()
		return l.Addr().String()
	}
	return freeAddress()
}

// freeAddress returns an address that nobody listens on. Where there is none, the start fails and says so.
func freeAddress() string {
	address, err := freeport.Address()
	if err != nil {
		return "127.0.0.1:0"
	}
	return address
}

// Close stops everything, and removes the directory if it was a temporary one.
func (w *World) Close() error {
	w.stop()
	err := w.running.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if w.temporary {
		err = errors.Join(err, os.RemoveAll(w.Dir))
	}
	return err
}

// Wait returns when something that should run has ended.
func (w *World) Wait() error { return w.running.Wait() }

// socket is the Workload API of one workload.
func (w *World) socket(workload string) string {
	return "unix://" + filepath.Join(w.Dir, workload+".sock")
}

// workloads have a Workload API each. The operator is the person at the keyboard.
var workloads = [...]string{"broker", "orders", "gateway", "operator"}

func (w *World) startDomain(ctx context.Context) error {
	domain, err := embedded.New(embedded.Config{})
	if err != nil {
		return err
	}
	w.domain = domain
	for _, name := range workloads {
		api, err := domain.Listen(filepath.Join(w.Dir, name+".sock"), domain.ID("/"+name))
		if err != nil {
			return err
		}
		w.running.Go(func() error { return api.Run(ctx) })
	}
	return nil
}

func (w *World) startDemos(ctx context.Context) error {
	password, err := w.sampleCredentials(ctx)
	if err != nil {
		return err
	}
	w.Issuer = "http://" + freeAddress()
	for _, d := range []struct {
		name string
		demo func() (*demo, error)
		at   *string
	}{
		{"inventory", func() (*demo, error) { return newDemo(ctx, "inventory", anywhere, inventory(w.Issuer)) }, &w.Inventory},
		{"crm", func() (*demo, error) { return newDemo(ctx, "crm", anywhere, crm(crmUser, password)) }, &w.CRM},
		{"orders", func() (*demo, error) { return newDemo(ctx, "orders", anywhere, orders(w.Sidecar)) }, &w.Orders},
		{"portal", func() (*demo, error) { return newDemo(ctx, "portal", anywhere, portal()) }, &w.portal},
	} {
		service, err := d.demo()
		if err != nil {
			return err
		}
		*d.at = service.address
		w.running.Go(func() error { return service.run(ctx) })
	}
	w.Orders = "http://" + w.Orders
	return nil
}

func (w *World) path(name string) string { return filepath.Join(w.Dir, name) }

// sampleCredentials seals what crm wants, and returns the password so that crm can compare.
func (w *World) sampleCredentials(ctx context.Context) (secret.Value, error) {
	keyFile := w.path("key")
	key, err := sealed.CreateKey(keyFile)
	if errors.Is(err, fs.ErrExist) {
		key, err = sealed.ReadKey("file:" + keyFile)
	}
	if err != nil {
		return secret.Value{}, err
	}
	store, err := sealed.Open(sealed.Config{Path: w.path("credentials.sealed"), Key: key})
	if err != nil {
		return secret.Value{}, err
	}
	password := secret.FromString(rand.Text())
	_, err = store.Write(ctx, "crm/login", credential.Fields{"username": secret.FromString(crmUser), "password": password})
	return password, err
}

// writeFiles writes what an operator would write: the policy, unless it is there already, and the service
// file, which names the addresses of this very start.
func (w *World) writeFiles(context.Context) error {
	if err := os.MkdirAll(w.path("services"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.path("services"), "demo.yaml"), []byte(w.serviceFile()), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(w.path("policy")); err == nil {
		return nil // somebody may have edited it
	}
	return os.CopyFS(w.path("policy"), policies.FS())
}

func (w *World) serviceFile() string {
	return `# Written by intercom dev at each start; put services of your own into another file beside it.
version: 1
owner: demo
services:
  # A token for the audience "inventory". Plain http, so it cannot be bound to the caller's certificate.
  inventory:
    upstream: { url: "http://` + w.Inventory + `", dial: [127.0.0.0/8] }
    token: { audience: inventory, bind: none }
    # Browsers reach it below /inventory, logged in, with a token of which the user is the subject.
    match: /inventory/**
    pass: { strip: /inventory }
  # The broker puts user and password into the request; orders never sees them.
  crm:
    upstream: { url: "http://` + w.CRM + `", dial: [127.0.0.0/8] }
    inject: { basic: { credential: crm/login } }
    match: /crm/**
    pass: { strip: /crm }
  # The page, for everybody. It gets nothing of the user.
  portal:
    upstream: { url: "` + w.frontend() + `", dial: [127.0.0.0/8, "::1/128"] }
    token: { bind: none }
    match: /**
    require: { login: false }
    user: none
`
}

func (w *World) startBroker(ctx context.Context) error {
	log, err := os.OpenFile(w.path("broker.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cfg, err := w.brokerConfig(io.MultiWriter(log, w.alerts))
	if err != nil {
		return err
	}
	b, err := broker.New(ctx, cfg)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	at := b.Addresses()
	w.Mesh, w.Egress, w.Admin = at.Mesh, at.Egress, at.Admin
	w.running.Go(func() error {
		defer log.Close()
		return b.Run(ctx)
	})
	return nil
}

func (w *World) brokerConfig(log io.Writer) (broker.Config, error) {
	issuer, err := url.Parse(w.Issuer)
	if err != nil {
		return broker.Config{}, err
	}
	provider, err := url.Parse(w.Provider)
	if err != nil {
		return broker.Config{}, err
	}
	return broker.Config{
		Version: 1, Issuer: strict.URL{URL: *issuer},
		Issuers:   []broker.OpenIDIssuer{{URL: strict.URL{URL: *provider}, Audience: []string{brokerAudience}}},
		Identity:  broker.Identity{Socket: w.socket("broker")},
		Listen:    broker.Listen{Mesh: "127.0.0.1:0", Egress: "127.0.0.1:0", Admin: "127.0.0.1:0", Web: broker.Web{Address: issuer.Host}},
		Policy:    w.path("policy"),
		Services:  w.path("services"),
		Store:     broker.Store{Sealed: &broker.Sealed{Path: w.path("credentials.sealed"), Key: strict.Ref{Scheme: "file", Name: w.path("key")}}},
		Audit:     broker.Audit{Dir: w.path("audit")},
		LogOutput: log,
		Unsafe:    broker.Unsafe{WebPlaintext: true, HTTPIssuer: true},
	}, nil
}

func (w *World) startSidecar(ctx context.Context) error {
	address, err := url.Parse(w.Sidecar)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(w.path("sidecar.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s, err := sidecar.New(ctx, w.sidecarConfig(address.Host, log))
	if err != nil {
		return errors.Join(fmt.Errorf("the sidecar: %w", err), log.Close())
	}
	w.SidecarAdmin = s.Addresses().Admin
	w.running.Go(func() error {
		defer log.Close()
		return s.Run(ctx)
	})
	return nil
}

func (w *World) sidecarConfig(address string, log io.Writer) sidecar.Config {
	return sidecar.Config{
		Version:  1,
		Identity: sidecar.Identity{Socket: w.socket("orders")},
		Brokers: sidecar.Brokers{
			ID: sidecar.ID{ID: spiffeid.RequireFromString("spiffe://intercom.test/broker")}, Mesh: []string{w.Mesh}, Egress: []string{w.Egress},
		},
		Listen:    sidecar.Listen{Address: address},
		Admin:     "127.0.0.1:0",
		Hold:      sidecar.Hold{Tokens: []string{"inventory"}},
		LogOutput: log,
	}
}

// ready waits until all say that they are.
func (w *World) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, admin := range []string{w.Admin, w.SidecarAdmin, w.GatewayAdmin} {
		if err := w.eventually(ctx, http.StatusOK, "http://"+admin+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}
