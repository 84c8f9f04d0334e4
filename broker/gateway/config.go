package gateway

import (
	"io"

	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/strict"
)

// Config is the gateway's one file. Paths in it are relative to the file itself.
type Config struct {
	// Version is the file format's; 1 is the only one.
	Version int `yaml:"version" required:"true" doc:"The version of this file's format: 1."`
	// Listen has the addresses of the two doors.
	Listen Listen `yaml:"listen" required:"true" doc:"The addresses of the doors."`
	// Origins are what browsers have in their address bar; at least one.
	Origins []Origin `yaml:"origins" required:"true" doc:"The origins that browsers reach us under; each has its own cookie, callback and sessions."`
	// Provider is where users log in.
	Provider Provider `yaml:"provider" required:"true" doc:"The OpenID provider at which users log in."`
	// Sessions says where sessions are kept, and for how long.
	Sessions Sessions `yaml:"sessions" required:"true" doc:"Where sessions are kept, and for how long."`
	// Identity says where our SVID comes from.
	Identity Identity `yaml:"identity" required:"true" doc:"Where our SVID comes from."`
	// Brokers says where the credential brokers are, and who they must be.
	Brokers Brokers `yaml:"brokers" required:"true" doc:"Where the credential brokers are, and who they must be."`
	// Services is the directory of service files: those of the broker.
	Services string `yaml:"services" required:"true" doc:"The directory of service files, the same as the brokers'."`
	// Policy is a directory, or "broker" for the policy that the brokers serve.
	Policy string `yaml:"policy" required:"true" doc:"The directory of the policy, or broker: the one that the brokers have in force."`
	// UpstreamCA is a PEM file; empty means that only the system's authorities vouch for https upstreams.
	UpstreamCA string `yaml:"upstream_ca" doc:"A PEM file with authorities that may vouch for https upstreams, besides the system's."`
	// Audit is the log of decisions; each gateway has its own.
	Audit Audit `yaml:"audit" required:"true" doc:"The log of decisions, one for each gateway."`
	// Theme is the folder of the pages' looks; empty means ours.
	Theme string `yaml:"theme" doc:"A folder with style.css and pages that take the place of ours; ours when absent."`
	// Prefix is where our own paths begin; empty means /bff.
	Prefix string `yaml:"prefix" doc:"Where our own paths begin; /bff when absent."`
	// TrustedProxies are the networks whose X-Forwarded-For is believed; none means nobody's.
	TrustedProxies []Network `yaml:"trusted_proxies" doc:"The networks of proxies whose X-Forwarded-For is believed; none when absent."`
	// Limits bounds what callers may take; the zero value has defaults that fit most.
	Limits Limits `yaml:"limits" doc:"What callers may take at most."`
	// Telemetry is logs and traces; the zero value logs at info and sends no traces.
	Telemetry Telemetry `yaml:"telemetry" doc:"Logs and traces."`
	// Drain is how long a shutdown still takes requests while readiness says no; zero means not at all.
	Drain strict.Duration `yaml:"drain" doc:"How long a shutdown still takes requests, while readiness says no and what stands before us hears of it; not at all when absent."`
	// Grace is how long a shutdown waits for what is in flight; zero means 10 s.
	Grace strict.Duration `yaml:"grace" doc:"How long a shutdown waits for requests in flight; 10s when absent."`
	// LogOutput is where logs go; nil means standard error.
	LogOutput io.Writer `yaml:"-"`
	// Unsafe comes from flags with long names, never from the file.
	Unsafe Unsafe `yaml:"-"`
}

// Unsafe weakens the gateway in ways that need a reason. The zero value is safe.
type Unsafe struct {
	// Plaintext serves the front door without TLS, for where TLS ends before us.
	Plaintext bool
	// PlaintextUpstreams lets browsers reach services over http that are not on this machine.
	PlaintextUpstreams bool
	// AdminAnywhere lets the admin door leave loopback.
	AdminAnywhere bool
}

// Listen has the address of each door, as host:port.
type Listen struct {
	Address string `yaml:"address" required:"true" doc:"The browsers' door, host:port."`
	Cert    string `yaml:"cert" doc:"A PEM file with the certificate of the origins and its chain, read again when it changes."`
	Key     string `yaml:"key" doc:"A PEM file with its key."`
	Admin   string `yaml:"admin" doc:"Health, metrics and profiles, host:port on loopback; 127.0.0.1:8448 when absent."`
}

// Sessions says where sessions are kept. Exactly one of Memory and Redis is set.
type Sessions struct {
	// Memory keeps them in this process: what is in it ends with the process, and no second one sees it.
	Memory bool `yaml:"memory" doc:"Keep sessions in this one process; a restart logs everybody out."`
	// Redis is for any number of gateways.
	Redis *kv.Config `yaml:"redis" doc:"Keep sessions in Redis or Valkey, for any number of gateways."`
	// Keys seal what Redis holds: the newest seals, all open. Required with Redis.
	Keys []strict.Ref `yaml:"keys" doc:"Where the sealing keys are, one a line, the newest first: 32 bytes in base64 or hexadecimal. The first seals, all open; read again when they change."`
	// Idle and Absolute end a session; zero means 1 h and 12 h. The provider's own end comes first, if it is sooner. Of
	// what they were at the login, at each refresh since and now, the shortest counts.
	Idle     strict.Duration `yaml:"idle" doc:"How long a session lives without activity; 1h when absent. Shortened, it counts for sessions that there are; lengthened, for new ones."`
	Absolute strict.Duration `yaml:"absolute" doc:"How long a session lives at most; 12h when absent. Shortened, it counts for sessions that there are; lengthened, for new ones."`
	// SameSite is strict or lax; empty means strict.
	SameSite string `yaml:"same_site" doc:"The session cookie's SameSite: strict (the default) or lax."`
}

// Identity is a Workload API, or files.
type Identity struct {
	Socket  string            `yaml:"socket" doc:"The SPIFFE Workload API, as unix:///run/spire/agent.sock."`
	Cert    string            `yaml:"cert" doc:"Instead of a socket: a PEM file with our X.509-SVID and its chain."`
	Key     string            `yaml:"key" doc:"Instead of a socket: a PEM file with its PKCS #8 key."`
	Bundles map[string]string `yaml:"bundles" noun:"bundle" doc:"Instead of a socket: for each trust domain a file with its authorities."`
	Wait    strict.Duration   `yaml:"wait" doc:"How long the start waits for the first SVID; 30s when absent."`
}

// Brokers are the credential brokers.
type Brokers struct {
	ID     ID       `yaml:"id" required:"true" doc:"The SPIFFE ID that a broker must prove, such as spiffe://example.org/intercom-broker."`
	Mesh   []string `yaml:"mesh" required:"true" doc:"The mesh doors, host:port; calls are spread over all that answer."`
	Egress []string `yaml:"egress" doc:"The egress doors, host:port; needed for services whose credential is put in by the broker."`
	// Audience is required where services take tokens of the broker's: the user's token is exchanged for it first.
	Audience string `yaml:"audience" doc:"What the provider calls our brokers; needed for services whose token a broker mints for the user."`
	// Stale is how long the policy of the brokers is followed after the last word of any; zero means 1 h.
	Stale strict.Duration `yaml:"stale" doc:"With policy: broker, how long their policy is followed when none of them can be heard, at least 15s; 1h when absent. After that all is refused: what was denied since would be allowed."`
}

// Audit is the log of decisions.
type Audit struct {
	Dir     string          `yaml:"dir" required:"true" doc:"Its directory."`
	Sync    string          `yaml:"sync" doc:"interval (a power failure takes at most 100 ms, the default) or always (nothing)."`
	Size    strict.Size     `yaml:"size" doc:"A segment ends at this size; 64MiB when absent."`
	Age     strict.Duration `yaml:"age" doc:"A segment ends at this age; 24h when absent."`
	Keep    strict.Duration `yaml:"keep" doc:"Segments older than this are deleted; none when absent."`
	Reserve strict.Size     `yaml:"reserve" doc:"Disk that is held back; when it is touched, requests are refused; 16MiB when absent."`
}

// Limits bounds what callers may take.
type Limits struct {
	Connections int `yaml:"connections" doc:"Open connections of the browsers' door; 10000 when absent."`
}

// Telemetry is logs and traces.
type Telemetry struct {
	Log    string     `yaml:"log" doc:"debug, info, warn or error; info when absent."`
	OTLP   strict.URL `yaml:"otlp" doc:"The collector of traces, http://host:4317; none when absent."`
	Sample float64    `yaml:"sample" doc:"The share of new traces that is recorded, from 0 to 1; all when absent."`
}

// LoadConfig reads and checks the file.
func LoadConfig(file string) (c Config, err error) {
	err = strict.Load(file, &c)
	return c, err
}

// Paths implements [strict.Config].
func (c *Config) Paths() ([]*string, map[string]string) {
	paths := []*string{
		&c.Listen.Cert, &c.Listen.Key, &c.Provider.CA, &c.Identity.Cert, &c.Identity.Key, &c.Services, &c.UpstreamCA, &c.Audit.Dir, &c.Theme,
	}
	if c.Policy != policyOfBroker {
		paths = append(paths, &c.Policy)
	}
	if r := c.Sessions.Redis; r != nil && r.TLS != nil {
		paths = append(paths, &r.TLS.CA, &r.TLS.Cert, &r.TLS.Key)
	}
	return paths, c.Identity.Bundles
}
