package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// SPIREServers are trust domains that are federated with each other.
type SPIREServers struct {
	// Domains are in the order in which they were asked for.
	Domains []*Domain

	remove func()
}

// Domain is a trust domain: a server and an agent.
type Domain struct {
	// Name is the trust domain's name, such as a.test.
	Name string
	// AgentSocket is the Workload API, and ServerSocket the server's own API, as unix:// addresses.
	AgentSocket, ServerSocket string
	// JWTIssuer is the `iss` of its JWT-SVIDs.
	JWTIssuer string
	// Server and Agent can be stopped, killed and started again. They keep their keys and entries, so that
	// neither needs to be told anything anew.
	Server, Agent *Process
	// Program is the path of spire-server, whose command line [Domain.CLI] uses.
	Program string

	dir              string
	port, bundlePort int
}

// OpenSPIRE starts a server and an agent for each trust domain and federates every pair. For tests there
// are [SPIRE] and [StartSPIRE].
func OpenSPIRE(ctx context.Context, domains ...string) (*SPIREServers, error) {
	if len(domains) == 0 {
		return nil, errors.New("stack: SPIRE: which trust domains?")
	}
	server, err := find(ctx, "spire-server")
	if err != nil {
		return nil, err
	}
	agent, err := find(ctx, "spire-agent")
	if err != nil {
		return nil, err
	}
	var s *SPIREServers
	err = withPorts(2*len(domains), func(ports []int) (err error) {
		s, err = openSPIRE(ctx, server, agent, domains, ports)
		return err
	})
	return s, err
}

func openSPIRE(ctx context.Context, server, agent string, domains []string, ports []int) (*SPIREServers, error) {
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	s := &SPIREServers{remove: remove}
	for i, name := range domains {
		d, err := newDomain(name, filepath.Join(dir, string(rune('a'+i))), ports[2*i], ports[2*i+1])
		if err == nil {
			d.Program = server
			s.Domains = append(s.Domains, d)
			err = d.startServer(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	if err := s.connect(ctx, agent); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// connect federates every pair of domains, once all servers are there to be asked for their bundles, and
// starts the agents.
func (s *SPIREServers) connect(ctx context.Context, agent string) error {
	for _, d := range s.Domains {
		for _, other := range s.Domains {
			if d == other {
				continue
			}
			if err := d.federate(ctx, other); err != nil {
				return err
			}
		}
		if err := d.startAgent(ctx, agent); err != nil {
			return err
		}
	}
	return nil
}

// Domain returns the trust domain of that name, and nil when there is none.
func (s *SPIREServers) Domain(name string) *Domain {
	for _, d := range s.Domains {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Stop ends agents and servers and removes their files.
func (s *SPIREServers) Stop() error {
	defer s.remove()
	var errs []error
	for _, p := range s.processes() {
		errs = append(errs, p.Stop())
	}
	return errors.Join(errs...)
}

// processes has the agents first: one whose server goes away complains in its log.
func (s *SPIREServers) processes() (all []*Process) {
	for _, d := range s.Domains {
		if d.Agent != nil {
			all = append(all, d.Agent)
		}
	}
	for _, d := range s.Domains {
		if d.Server != nil {
			all = append(all, d.Server)
		}
	}
	return all
}

func newDomain(name, dir string, port, bundlePort int) (*Domain, error) {
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, fmt.Errorf("stack: SPIRE: %w", err)
	}
	d := &Domain{
		Name: td.Name(), JWTIssuer: "https://" + td.Name(), dir: dir, port: port, bundlePort: bundlePort,
		ServerSocket: "unix://" + filepath.Join(dir, "server.sock"), AgentSocket: "unix://" + filepath.Join(dir, "agent.sock"),
	}
	if n := len(filepath.Join(dir, "server.sock")); n > maxSocketPath {
		return nil, fmt.Errorf("stack: SPIRE: a socket's path would have %d bytes in %s; set TMPDIR to a shorter one", n, dir)
	}
	for _, sub := range []string{"server", "agent"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("stack: SPIRE: %w", err)
		}
	}
	return d, nil
}

// settings are what the templates of the configuration files want.
func (d *Domain) settings(joinToken string) map[string]any {
	return map[string]any{
		"Name": d.Name, "JWTIssuer": d.JWTIssuer, "Port": d.port, "BundlePort": d.bundlePort, "JoinToken": joinToken,
		"ServerSocket": strings.TrimPrefix(d.ServerSocket, "unix://"), "AgentSocket": strings.TrimPrefix(d.AgentSocket, "unix://"),
		"ServerDir": filepath.Join(d.dir, "server"), "AgentDir": filepath.Join(d.dir, "agent"), "BundleFile": d.file("bundle.pem"),
	}
}

func (d *Domain) file(name string) string { return filepath.Join(d.dir, name) }

func (d *Domain) startServer(ctx context.Context) (err error) {
	if err := writeConfig(d.file("server.conf"), "spire-server.conf", d.settings("")); err != nil {
		return err
	}
	d.Server, err = Start(ctx, Command{
		Name: "spire-server of " + d.Name, Path: d.Program, Args: []string{"run", "-config", d.file("server.conf")},
		Dir: d.dir, Log: d.file("server.log"), Ready: healthy(d.ServerSocket),
	})
	return err
}

func (d *Domain) startAgent(ctx context.Context, program string) error {
	bundle, err := d.CLI(ctx, "bundle", "show", "-format", "pem")
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.file("bundle.pem"), bundle, 0o600); err != nil {
		return fmt.Errorf("stack: SPIRE: %w", err)
	}
	token, err := d.joinToken(ctx)
	if err != nil {
		return err
	}
	if err := writeConfig(d.file("agent.conf"), "spire-agent.conf", d.settings(token)); err != nil {
		return err
	}
	d.Agent, err = Start(ctx, Command{
		Name: "spire-agent of " + d.Name, Path: program, Args: []string{"run", "-config", d.file("agent.conf")},
		Dir: d.dir, Log: d.file("agent.log"), Ready: healthy(d.AgentSocket),
	})
	return err
}

// healthy asks the gRPC health service, which SPIRE's server and agent have on their sockets.
func healthy(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			err = fmt.Errorf("health: %s", answer.GetStatus())
		}
		return err
	}
}
