package sidecar

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/strict"
)

// Config is the sidecar's one file. Paths in it are relative to the file itself.
type Config struct {
	// Version is the file format's; 1 is the only one.
	Version int `yaml:"version" required:"true" doc:"The version of this file's format: 1."`
	// Identity says where the SVID of the service beside us comes from.
	Identity Identity `yaml:"identity" required:"true" doc:"Where the SVID of the service beside us comes from."`
	// Brokers says where the credential brokers are, and who they must be.
	Brokers Brokers `yaml:"brokers" required:"true" doc:"Where the credential brokers are, and who they must be."`
	// Listen is the application's door; the zero value is 127.0.0.1:4140 and no socket.
	Listen Listen `yaml:"listen" doc:"The application's door."`
	// Upstreams says which certificates services may show that are called directly; the zero value accepts
	// SVIDs of our own trust domain and certificates of the system's authorities.
	Upstreams Upstreams `yaml:"upstreams" doc:"Whom services that we call ourselves may prove to be."`
	// Hold is what /readyz waits for; the zero value is nothing.
	Hold Hold `yaml:"hold" doc:"What must be held before we are ready, and is renewed although nobody asks."`
	// Stale bounds the staleness budgets of all services; zero means that the service files alone do.
	Stale strict.Duration `yaml:"stale" doc:"The longest time that anything is used while no broker answers; what the service files say when absent."`
	// Admin is the address of health and metrics; empty means 127.0.0.1:4141.
	Admin string `yaml:"admin" doc:"Health and metrics, host:port on loopback; 127.0.0.1:4141 when absent."`
	// Telemetry is logs and traces; the zero value logs at info and sends no traces.
	Telemetry Telemetry `yaml:"telemetry" doc:"Logs and traces."`
	// Grace is how long a shutdown waits for what is in flight; zero means 10 s.
	Grace strict.Duration `yaml:"grace" doc:"How long a shutdown waits for calls in flight; 10s when absent."`
	// LogOutput is where logs go; nil means standard error.
	LogOutput io.Writer `yaml:"-"`
}

// Identity is a Workload API, or files.
type Identity struct {
	Socket  string            `yaml:"socket" doc:"The SPIFFE Workload API, as unix:///run/spire/agent.sock."`
	Cert    string            `yaml:"cert" doc:"Instead of a socket: a PEM file with the X.509-SVID and its chain."`
	Key     string            `yaml:"key" doc:"Instead of a socket: a PEM file with its PKCS #8 key."`
	Bundles map[string]string `yaml:"bundles" noun:"bundle" doc:"Instead of a socket: for each trust domain a file with its authorities."`
	Wait    strict.Duration   `yaml:"wait" doc:"How long the start waits for the first SVID; 30s when absent."`
}

// Brokers are the credential brokers.
type Brokers struct {
	ID     ID       `yaml:"id" required:"true" doc:"The SPIFFE ID that a broker must prove, such as spiffe://example.org/intercom-broker."`
	Mesh   []string `yaml:"mesh" required:"true" doc:"The mesh doors, host:port; calls are spread over all that answer."`
	Egress []string `yaml:"egress" doc:"The egress doors, host:port; needed for services whose credential is put in by the broker."`
}

// ID is a SPIFFE ID in the file.
type ID struct{ spiffeid.ID }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (i *ID) UnmarshalYAML(n *yaml.Node) error {
	text, err := strict.Text(n, "a SPIFFE ID such as spiffe://example.org/web")
	if err != nil {
		return err
	}
	if i.ID, err = spiffeid.FromString(text); err != nil {
		return strict.At(n, "not a SPIFFE ID: %v", err)
	}
	return nil
}

// Listen is the application's door. TCP on loopback is open to every user of the machine, so a socket
// closes it: both are open only when both are written out.
type Listen struct {
	Address string   `yaml:"address" doc:"host:port on loopback, open to every user of the machine; when absent 127.0.0.1:4140, or with a socket none."`
	Socket  string   `yaml:"socket" doc:"A Unix socket, for machines that are shared; instead of the address unless that is given too."`
	UIDs    []uint32 `yaml:"uids" doc:"The user ids that may use the socket; only its owner when absent."`
}

// Upstreams says whom services that we call ourselves may prove to be.
type Upstreams struct {
	TrustDomains []string      `yaml:"trust_domains" doc:"The trust domains whose SVIDs services may show; our own when absent."`
	CA           string        `yaml:"ca" doc:"A PEM file with authorities for certificates that are no SVIDs, besides the system's."`
	IDs          map[string]ID `yaml:"ids" noun:"service" doc:"The one SPIFFE ID of a service, by the service's name."`
}

// Hold names tokens and credentials.
type Hold struct {
	Tokens      []string `yaml:"tokens" doc:"Audiences."`
	Credentials []string `yaml:"credentials" doc:"Names of credentials, such as reports/db."`
}

// Telemetry is logs and traces.
type Telemetry struct {
	Log    string     `yaml:"log" doc:"debug, info, warn or error; info when absent."`
	OTLP   strict.URL `yaml:"otlp" doc:"The collector of traces, http://host:4317; none when absent."`
	Sample float64    `yaml:"sample" doc:"The share of new traces that is recorded, from 0 to 1; all when absent."`
}

// Load reads and checks the file.
func Load(file string) (c Config, err error) {
	err = strict.Load(file, &c)
	return c, err
}

// Paths implements [strict.Config].
func (c *Config) Paths() ([]*string, map[string]string) {
	return []*string{&c.Identity.Cert, &c.Identity.Key, &c.Listen.Socket, &c.Upstreams.CA}, c.Identity.Bundles
}

// Validate says what cannot work, whatever the machine looks like.
func (c *Config) Validate() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(c.Version == 1, "version: want 1, got %d", c.Version)
	files := c.Identity.Cert != "" && c.Identity.Key != "" && len(c.Identity.Bundles) > 0
	want((c.Identity.Socket != "") != files, "identity: want a socket, or all of cert, key and bundles")
	want(len(c.Brokers.Mesh) > 0, "brokers.mesh: want at least one address")
	for _, address := range slices.Concat(c.Brokers.Mesh, c.Brokers.Egress) {
		_, _, err := net.SplitHostPort(address)
		want(err == nil, "brokers: want host:port, got %q", address)
	}
	want(c.Listen.address() == "" || onLoopback(c.Listen.address()), "listen.address: %s is not on loopback: whoever reaches it acts as the service beside us", c.Listen.address())
	want(onLoopback(c.admin()), "admin: %s is not on loopback, and this listener asks nobody who they are", c.admin())
	want(len(c.Listen.UIDs) == 0 || c.Listen.Socket != "", "listen.uids: there is no socket")
	for _, name := range c.Upstreams.TrustDomains {
		_, err := spiffeid.TrustDomainFromString(name)
		want(err == nil, "upstreams.trust_domains: %q is no trust domain", name)
	}
	want(slices.Contains([]string{"", "debug", "info", "warn", "error"}, c.Telemetry.Log), "telemetry.log: want debug, info, warn or error, got %q", c.Telemetry.Log)
	return errors.Join(errs...)
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

func (c *Config) admin() string        { return cmp.Or(c.Admin, "127.0.0.1:4141") }
func (c *Config) grace() time.Duration { return cmp.Or(c.Grace.Std(), 10*time.Second) }

// address is empty when there is no TCP door.
func (l Listen) address() string {
	if l.Address == "" && l.Socket == "" {
		return "127.0.0.1:4140"
	}
	return l.Address
}
