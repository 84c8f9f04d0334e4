package kv

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/strict"
)

// The defaults. A second is long for a server in the same network, and short for a person.
const (
	defaultTimeout = time.Second
	defaultSilence = time.Second
	// leastSilence keeps a slow machine from giving up connections that are well.
	leastSilence = 250 * time.Millisecond
)

// Config is the section of a configuration file that says where Redis or Valkey is. One address is one
// server; several need Sentinel or Cluster.
type Config struct {
	// Addresses are host:port, of the sentinels or of some of the cluster's nodes where there are any.
	Addresses []string `yaml:"addresses" required:"true" doc:"host:port of the server, of the sentinels, or of some nodes of the cluster."`
	// Sentinel is set when Addresses are those of sentinels.
	Sentinel Sentinel `yaml:"sentinel" doc:"Set when the addresses are those of sentinels."`
	// Cluster says that Addresses are nodes of a cluster.
	Cluster bool `yaml:"cluster" doc:"Whether the addresses are nodes of a cluster."`
	// TLS is how the server is verified; nil means that it speaks plainly.
	TLS *TLS `yaml:"tls" doc:"TLS to the server and to its sentinels; without it everything travels in the clear."`
	// Username is the user of the access list; empty means the default user.
	Username string `yaml:"username" doc:"The user of the access list; the default user when absent."`
	// Password is where the password is; the caller resolves it into [Options].
	Password strict.Ref `yaml:"password" doc:"Where the password is: vault:path#field, file:/path or env:NAME."`
	// Timeout bounds one command, and one attempt to connect; zero means 1 s.
	Timeout strict.Duration `yaml:"timeout" doc:"How long a command may take; 1s when absent."`
	// Silence is after how long without a byte a connection is given up; zero means 1 s.
	Silence strict.Duration `yaml:"silence" doc:"After how long without a sign of life the server counts as down; 1s when absent."`
}

// Sentinel names the primary that sentinels watch. The zero value means that there are none.
type Sentinel struct {
	// Primary is its name in the sentinels' configuration.
	Primary string `yaml:"primary" required:"true" doc:"The name by which the sentinels know the primary."`
	// Username and Password are for the sentinels themselves.
	Username string     `yaml:"username" doc:"The user of the sentinels' own access list."`
	Password strict.Ref `yaml:"password" doc:"Where the sentinels' own password is."`
}

// TLS says how the server is verified and how we show who we are.
type TLS struct {
	// CA is a PEM file; empty means the system's authorities.
	CA string `yaml:"ca" doc:"A PEM file with the authorities that vouch for the server; the system's when absent."`
	// Cert and Key are our own certificate, for servers that ask for one; both or none.
	Cert string `yaml:"cert" doc:"A PEM file with our certificate, when the server asks for one."`
	Key  string `yaml:"key" doc:"A PEM file with the certificate's key."`
	// ServerName is the name in the server's certificate; empty means the host of the address.
	ServerName string `yaml:"server_name" doc:"The name that the server's certificate has; the address' host when absent."`
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (c *Config) UnmarshalYAML(n *yaml.Node) error {
	type plain Config
	if err := strict.Node(n, (*plain)(c)); err != nil {
		return err
	}
	addresses := strict.Field(n, "addresses")
	switch {
	case len(c.Addresses) == 0:
		return strict.At(addresses, "want at least one address")
	case c.Cluster && c.Sentinel.Primary != "":
		return strict.At(strict.Field(n, "cluster"), "a cluster has no sentinels: leave out one of cluster and sentinel")
	case len(c.Addresses) > 1 && !c.Cluster && c.Sentinel.Primary == "":
		return strict.At(addresses, "several addresses are those of sentinels or of a cluster: say which, with sentinel or cluster")
	case c.Silence != 0 && c.Silence.Std() < leastSilence:
		return strict.At(strict.Field(n, "silence"), "want at least %s: less gives up connections that are well", leastSilence)
	case c.TLS != nil && (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return strict.At(strict.Field(n, "tls"), "want both cert and key, or neither")
	}
	for i, a := range c.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return strict.At(addresses.Content[i], "want host:port")
		}
	}
	return nil
}

func (c Config) timeout() time.Duration { return or(c.Timeout.Std(), defaultTimeout) }
func (c Config) silence() time.Duration { return or(c.Silence.Std(), defaultSilence) }

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Check reads the files that t names, as [Open] does; there is nothing to be read for nil.
func (t *TLS) Check() error {
	_, err := t.client()
	return err
}

// client returns the TLS configuration, and nil for nil.
func (t *TLS) client() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("kv: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kv: %s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("kv: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
