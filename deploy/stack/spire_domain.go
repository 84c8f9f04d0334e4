package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// EntryOptions say to which workloads an identity is given, and of what kind it is.
type EntryOptions struct {
	// UID is the user id that the workload runs as. Zero means the one of this process; root's own zero is
	// then meant as well.
	UID int
	// Path is the workload's binary; empty means any.
	Path string
	// TTL is the life of an X.509-SVID and JWTTTL that of a JWT-SVID, in whole seconds; zero means SPIRE's
	// own, 1 hour and 5 minutes.
	TTL, JWTTTL time.Duration
	// FederatesWith are the trust domains whose bundles the workload gets beside its own.
	FederatesWith []string
	// DNS are names that the X.509-SVID carries beside its SPIFFE ID. The first is its common name too, which
	// Vault's login by certificate needs.
	DNS []string
}

// selectors are all of what a workload must be.
func (o EntryOptions) selectors() []string {
	uid := o.UID
	if uid == 0 {
		uid = os.Getuid()
	}
	selectors := []string{"unix:uid:" + strconv.Itoa(uid)}
	if o.Path != "" {
		selectors = append(selectors, "unix:path:"+o.Path)
	}
	return selectors
}

func (o EntryOptions) flags(agent, id string) []string {
	args := []string{"-parentID", agent, "-spiffeID", id}
	for _, s := range o.selectors() {
		args = append(args, "-selector", s)
	}
	for _, td := range o.FederatesWith {
		args = append(args, "-federatesWith", "spiffe://"+td)
	}
	for _, name := range o.DNS {
		args = append(args, "-dns", name)
	}
	if o.TTL > 0 {
		args = append(args, "-x509SVIDTTL", strconv.Itoa(int(o.TTL/time.Second)))
	}
	if o.JWTTTL > 0 {
		args = append(args, "-jwtSVIDTTL", strconv.Itoa(int(o.JWTTTL/time.Second)))
	}
	return args
}

// Entry registers an identity for the test's length. The agent has it about a second later; a Workload
// API client that asks before is told that it has no identity, and asks again.
func (d *Domain) Entry(t testing.TB, id string, o EntryOptions) (entryID string) {
	t.Helper()
	entryID, err := d.CreateEntry(t.Context(), id, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !d.Server.Alive() { // it is a test's own, and takes the entry with it
			return
		}
		if err := d.DeleteEntry(context.Background(), entryID); err != nil {
			t.Error(err)
		}
	})
	return entryID
}

// CreateEntry registers an identity and returns the entry's id.
func (d *Domain) CreateEntry(ctx context.Context, id string, o EntryOptions) (entryID string, err error) {
	out, err := d.CLI(ctx, append([]string{"entry", "create", "-output", "json"}, o.flags(d.agentID(), id)...)...)
	if err != nil {
		return "", err
	}
	var answer struct {
		Results []struct {
			Entry struct {
				ID string `json:"id"`
			} `json:"entry"`
		} `json:"results"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", fmt.Errorf("stack: SPIRE: entry create: %w", err)
	}
	if len(answer.Results) != 1 || answer.Results[0].Entry.ID == "" {
		return "", errors.New("stack: SPIRE: entry create gave no id")
	}
	return answer.Results[0].Entry.ID, nil
}

// DeleteEntry takes an identity away. SVIDs that are out live on until they end.
func (d *Domain) DeleteEntry(ctx context.Context, entryID string) error {
	_, err := d.CLI(ctx, "entry", "delete", "-entryID", entryID)
	return err
}

// Bundle returns the trust bundle as a SPIFFE JSON document.
func (d *Domain) Bundle(ctx context.Context) ([]byte, error) {
	return d.CLI(ctx, "bundle", "show", "-format", "spiffe")
}

// CLI runs spire-server with these arguments against the domain's server and returns what it prints, for
// what has no method here: `localauthority x509 prepare`, `federation refresh`, and the like.
func (d *Domain) CLI(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	args = append(args, "-socketPath", strings.TrimPrefix(d.ServerSocket, "unix://"))
	cmd := exec.CommandContext(ctx, d.Program, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("stack: spire-server of %s: %s: %w: %s%s",
			d.Name, strings.Join(args[:2], " "), err, complaint.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}

func (d *Domain) agentID() string { return "spiffe://" + d.Name + "/agent" }

func (d *Domain) joinToken(ctx context.Context) (string, error) {
	out, err := d.CLI(ctx, "token", "generate", "-output", "json", "-spiffeID", d.agentID())
	if err != nil {
		return "", err
	}
	var answer struct {
		Value string `json:"value"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.Value == "" {
		return "", fmt.Errorf("stack: SPIRE: token generate gave no token: %w", err)
	}
	return answer.Value, nil
}

// federate lets d trust the identities of other: by its bundle of now, and by its endpoint from then on.
func (d *Domain) federate(ctx context.Context, other *Domain) error {
	bundle, err := other.Bundle(ctx)
	if err != nil {
		return err
	}
	file := d.file("federated.json")
	if err := os.WriteFile(file, bundle, 0o600); err != nil {
		return fmt.Errorf("stack: SPIRE: %w", err)
	}
	_, err = d.CLI(ctx, "federation", "create", "-trustDomain", other.Name,
		"-bundleEndpointURL", "https://"+addr(other.bundlePort), "-bundleEndpointProfile", "https_spiffe",
		"-endpointSpiffeID", "spiffe://"+other.Name+"/spire/server",
		"-trustDomainBundlePath", file, "-trustDomainBundleFormat", "spiffe")
	return err
}
