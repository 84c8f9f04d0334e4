package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/strict"
)

// Config is the process's one file. Paths in it are relative to the file itself.
type Config struct {
	// Version is the file format's; 1 is the only one.
	Version int `yaml:"version" required:"true" doc:"The version of this file's format: 1."`
	// Issuer stands in every token as `iss`, and is where the web door is reached from outside.
	Issuer strict.URL `yaml:"issuer" required:"true" doc:"The https URL under which the web door is reached; tokens carry it as iss."`
	// Identity says where our SVID comes from, and whose SVIDs count.
	Identity Identity `yaml:"identity" required:"true" doc:"Where our SVID comes from, and which trust domains may call."`
	// Listen has the addresses of the four doors.
	Listen Listen `yaml:"listen" required:"true" doc:"The addresses of the doors."`
	// Policy is the directory of model.conf and the rules.
	Policy string `yaml:"policy" required:"true" doc:"The directory of the policy: *.csv, and model.conf for a model of your own."`
	// Services is the directory of service files.
	Services string `yaml:"services" required:"true" doc:"The directory of service files."`
	// Issuers are the OpenID issuers whose users' access tokens are subject tokens; none means that workloads
	// act for themselves and for each other only.
	Issuers []OpenIDIssuer `yaml:"issuers" doc:"The OpenID issuers whose users' access tokens may be exchanged."`
	// UpstreamCA is a PEM file; empty means that only the system's authorities vouch for https upstreams.
	UpstreamCA string `yaml:"upstream_ca" doc:"A PEM file with authorities that may vouch for https upstreams, besides the system's."`
	// Store holds the credentials.
	Store Store `yaml:"store" required:"true" doc:"Where credentials are kept: exactly one of sealed and vault."`
	// Audit is the log of decisions.
	Audit Audit `yaml:"audit" required:"true" doc:"The log of decisions."`
	// Keys says how tokens are signed; the zero value is ES256, rotated daily.
	Keys Keys `yaml:"keys" doc:"How tokens are signed."`
	// Limits bounds what callers may take; the zero value has defaults that fit most.
	Limits Limits `yaml:"limits" doc:"What callers may take at most."`
	// Telemetry is logs and traces; the zero value logs at info and sends no traces.
	Telemetry Telemetry `yaml:"telemetry" doc:"Logs and traces."`
	// Reflection turns gRPC reflection on, for those whom policy allows `reflect` on `grpc`.
	Reflection bool `yaml:"reflection" doc:"Whether gRPC reflection answers those whom policy allows it."`
	// Grace is how long a shutdown waits for what is in flight; zero means 10 s.
	Grace strict.Duration `yaml:"grace" doc:"How long a shutdown waits for calls in flight; 10s when absent."`
	// LogOutput is where logs go; nil means standard error.
	LogOutput io.Writer `yaml:"-"`
	// Unsafe comes from flags with long names, never from the file.
	Unsafe Unsafe `yaml:"-"`
}

// Identity says who we are and who may call.
type Identity struct {
	Socket  string            `yaml:"socket" doc:"The SPIFFE Workload API, as unix:///run/spire/agent.sock."`
	Cert    string            `yaml:"cert" doc:"Instead of a socket: a PEM file with our X.509-SVID and its chain."`
	Key     string            `yaml:"key" doc:"Instead of a socket: a PEM file with its PKCS #8 key."`
	Bundles map[string]string `yaml:"bundles" noun:"bundle" doc:"Instead of a socket: for each trust domain a file with its authorities."`
	// Allow names the trust domains besides our own whose workloads may call.
	Allow []TrustDomain   `yaml:"allow" doc:"The federated trust domains whose workloads may call, besides our own."`
	Wait  strict.Duration `yaml:"wait" doc:"How long the start waits for the first SVID; 30s when absent."`
}

// TrustDomain is the name of a trust domain in the file.
type TrustDomain struct{ spiffeid.TrustDomain }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (d *TrustDomain) UnmarshalYAML(n *yaml.Node) error {
	text, err := strict.Text(n, "a trust domain such as partner.example")
	if err != nil {
		return err
	}
	if d.TrustDomain, err = spiffeid.TrustDomainFromString(text); err != nil {
		return strict.At(n, "not a trust domain: %v", err)
	}
	return nil
}

// Listen has the address of each door, as host:port.
type Listen struct {
	Mesh   string `yaml:"mesh" required:"true" doc:"gRPC over mTLS, host:port."`
	Egress string `yaml:"egress" required:"true" doc:"HTTP over mTLS, into which credentials are put, host:port."`
	Web    Web    `yaml:"web" required:"true" doc:"Metadata and keys for everyone."`
	Admin  string `yaml:"admin" doc:"Health, metrics and profiles, host:port on loopback; 127.0.0.1:8446 when absent."`
}

// Web is the door for stock HTTPS clients, which do not know SPIFFE.
type Web struct {
	Address string `yaml:"address" required:"true" doc:"host:port."`
	Cert    string `yaml:"cert" doc:"A PEM file with the server's certificate, read again when it changes; our SVID when absent and it has a DNS name."`
	Key     string `yaml:"key" doc:"A PEM file with its key."`
	// MTLS is for where a proxy ends TLS on the way to the issuer; the zero value means that none does.
	MTLS strict.URL `yaml:"mtls" doc:"The https origin at which OAuth clients reach the door with their certificate, when the issuer's is not it; clients learn it from mtls_endpoint_aliases."`
}

// Store names the one store.
type Store struct {
	Sealed *Sealed `yaml:"sealed" doc:"One sealed file, for a single process."`
	Vault  *Vault  `yaml:"vault" doc:"Vault or OpenBao."`
	// Fresh is how long a credential is served from memory; zero means 30 s.
	Fresh strict.Duration `yaml:"fresh" doc:"How long a credential read from the store is served from memory; 30s when absent."`
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (s *Store) UnmarshalYAML(n *yaml.Node) error {
	type plain Store
	if err := strict.Node(n, (*plain)(s)); err != nil {
		return err
	}
	if (s.Sealed == nil) == (s.Vault == nil) {
		return strict.At(n, "want exactly one of sealed and vault")
	}
	return nil
}

// Sealed is the embedded store.
type Sealed struct {
	Path string     `yaml:"path" required:"true" doc:"The sealed file."`
	Key  strict.Ref `yaml:"key" required:"true" doc:"Where its 32-byte key is: file:/path or env:NAME."`
}

// Vault is a Vault or OpenBao server.
type Vault struct {
	Address   strict.URL      `yaml:"address" required:"true" doc:"Its https URL; http is for loopback only."`
	CA        string          `yaml:"ca" doc:"A PEM file with the authorities that its certificate is verified with; the system's when absent."`
	Namespace string          `yaml:"namespace" doc:"The namespace, where the server has them."`
	Mount     string          `yaml:"mount" doc:"The mount of the KV version 2 engine; secret when absent."`
	Prefix    string          `yaml:"prefix" doc:"The path below the mount under which everything of ours is; intercom when absent."`
	Auth      VaultAuth       `yaml:"auth" required:"true" doc:"How we log in, with our own SVID."`
	Timeout   strict.Duration `yaml:"timeout" doc:"How long one request may take; 5s when absent."`
}

// VaultAuth is how we log in: with our own SVID, so that there is no secret to keep.
type VaultAuth struct {
	Method   string `yaml:"method" doc:"jwt (a JWT-SVID, the default) or cert (our X.509-SVID as client certificate)."`
	Mount    string `yaml:"mount" doc:"The mount of the auth method; its own name when absent."`
	Role     string `yaml:"role" doc:"The role to log in to; the server's default when absent."`
	Audience string `yaml:"audience" doc:"The audience of the JWT-SVID; the server's address when absent."`
}

// Audit is the log of decisions.
type Audit struct {
	Dir     string          `yaml:"dir" required:"true" doc:"Its directory."`
	Sync    string          `yaml:"sync" doc:"interval (a power failure takes at most 100 ms, the default) or always (nothing)."`
	Size    strict.Size     `yaml:"size" doc:"A segment ends at this size; 64MiB when absent."`
	Age     strict.Duration `yaml:"age" doc:"A segment ends at this age; 24h when absent."`
	Keep    strict.Duration `yaml:"keep" doc:"Segments older than this are deleted; none when absent."`
	Reserve strict.Size     `yaml:"reserve" doc:"Disk that is held back; when it is touched, grants are refused; 16MiB when absent."`
}

// Keys says how tokens are signed.
type Keys struct {
	Algorithm string          `yaml:"algorithm" doc:"ES256 (the default) or EdDSA."`
	Rotate    strict.Duration `yaml:"rotate" doc:"How long one key signs; 24h when absent."`
}

// Limits bounds what callers may take.
type Limits struct {
	InFlight    int `yaml:"in_flight" doc:"Calls in flight of one caller; 256 when absent."`
	Connections int `yaml:"connections" doc:"Open connections of each door; 10000 when absent."`
}

// Telemetry is logs and traces.
type Telemetry struct {
	Log    string     `yaml:"log" doc:"debug, info, warn or error; info when absent."`
	OTLP   strict.URL `yaml:"otlp" doc:"The collector of traces, http://host:4317; none when absent."`
	Sample float64    `yaml:"sample" doc:"The share of new traces that is recorded, from 0 to 1; all when absent."`
}

// Unsafe has what a flag with a long name must ask for.
type Unsafe struct {
	// WebPlaintext serves the web door without TLS, for where TLS ends before us.
	WebPlaintext bool
	// HTTPIssuer allows an issuer without https; package dev sets it, no flag does.
	HTTPIssuer bool
	// AdminAnywhere lets the admin listener leave loopback.
	AdminAnywhere bool
}

// LoadConfig reads and checks the file at path. Paths in it come back absolute, also beside an error.
func LoadConfig(file string) (c Config, err error) {
	err = strict.Load(file, &c)
	return c, err
}

// Paths implements [strict.Config].
func (c *Config) Paths() ([]*string, map[string]string) {
	paths := []*string{&c.Identity.Cert, &c.Identity.Key, &c.Listen.Web.Cert, &c.Listen.Web.Key, &c.Policy, &c.Services, &c.UpstreamCA, &c.Audit.Dir}
	for i := range c.Issuers {
		paths = append(paths, &c.Issuers[i].CA)
	}
	if c.Store.Sealed != nil {
		paths = append(paths, &c.Store.Sealed.Path)
	}
	if c.Store.Vault != nil {
		paths = append(paths, &c.Store.Vault.CA)
	}
	return paths, c.Identity.Bundles
}

// minRotate is the least time that a key signs.
const minRotate = 5 * time.Minute

// Validate says what cannot work, whatever the machine looks like. Each error begins with the key that it
// is about, and [LoadConfig] adds the place in the file. What only a flag can allow is left to [New].
func (c *Config) Validate() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(c.Version == 1, "version: want 1, got %d", c.Version)
	want(c.Issuer.Scheme == "https" || c.Unsafe.HTTPIssuer, "issuer: want an https URL; clients compare it with where they fetched the metadata")
	want(c.Issuer.RawQuery == "", "issuer: an issuer has no query (RFC 8414, section 2)")
	files := c.Identity.Cert != "" && c.Identity.Key != "" && len(c.Identity.Bundles) > 0
	want((c.Identity.Socket != "") != files, "identity: want a socket, or all of cert, key and bundles")
	want((c.Listen.Web.Cert == "") == (c.Listen.Web.Key == ""), "listen.web: cert and key come together")
	known := map[string]bool{c.Issuer.String(): true} // our own tokens are read as ours
	for i, o := range c.Issuers {
		url := o.URL.String()
		want(!known[url], "issuers[%d]: %s is our own issuer, or given twice", i, url)
		known[url] = true
	}
	mtls := c.Listen.Web.MTLS
	want(mtls.IsZero() || mtls.Scheme == "https" && strings.Trim(mtls.Path, "/") == "" && mtls.RawQuery == "", "listen.web.mtls: want an https origin, without path and query")
	taken := map[string]string{}
	for name, address := range c.Listen.addresses() {
		_, port, err := net.SplitHostPort(address)
		want(err == nil, "listen.%s: want host:port, got %q", name, address)
		want(taken[address] == "" || port == "0", "listen.%s: %s is the address of %s too", name, address, taken[address])
		taken[address] = name
	}
	want(slices.Contains([]string{"", "interval", "always"}, c.Audit.Sync), "audit.sync: want interval or always, got %q", c.Audit.Sync)
	want(slices.Contains([]string{"", "ES256", "EdDSA"}, c.Keys.Algorithm), "keys.algorithm: want ES256 or EdDSA, got %q", c.Keys.Algorithm)
	want(c.Keys.Rotate == 0 || c.Keys.Rotate.Std() >= minRotate, "keys.rotate: want at least %v: the next key is known for more than a minute before it signs", minRotate)
	want(slices.Contains([]string{"", "debug", "info", "warn", "error"}, c.Telemetry.Log), "telemetry.log: want debug, info, warn or error, got %q", c.Telemetry.Log)
	want(c.Limits.InFlight >= 0 && c.Limits.Connections >= 0, "limits: want positive numbers")
	if v := c.Store.Vault; v != nil {
		want(slices.Contains([]string{"", "jwt", "cert"}, v.Auth.Method), "store.vault.auth.method: want jwt or cert, got %q", v.Auth.Method)
	}
	return errors.Join(errs...)
}

func (l Listen) addresses() map[string]string {
	return map[string]string{"mesh": l.Mesh, "egress": l.Egress, "web.address": l.Web.Address, "admin": l.admin()}
}

func (l Listen) admin() string {
	if l.Admin == "" {
		return "127.0.0.1:8446"
	}
	return l.Admin
}

func (w Web) mtls() string {
	if w.MTLS.IsZero() {
		return ""
	}
	return w.MTLS.String()
}

func (c *Config) grace() time.Duration  { return orDefault(c.Grace.Std(), 10*time.Second) }
func (l Limits) connections() int       { return orDefault(l.Connections, 10_000) }
func (l Limits) inFlight() int          { return orDefault(l.InFlight, 256) }
func (s Store) fresh() time.Duration    { return orDefault(s.Fresh.Std(), 30*time.Second) }
func (v Vault) prefix() credential.Name { return credential.Name(orDefault(v.Prefix, "intercom")) }

func orDefault[T comparable](v, zero T) T {
	var none T
	if v == none {
		return zero
	}
	return v
}
