package broker_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/intercom-broker/intercom"

// floors is the design's table: a package imports only from a lower floor.
var floors = [][]string{
	0: {
		"broker/fault", "broker/secret", "broker/identity", "broker/strict", "broker/hygiene", "broker/drain", "broker/freeport", "broker/patience",
		"proto/intercom/v1", "policies", "cmd/internal/cli", "broker/telemetry/telemetrytest",
	},
	1: {
		"broker/svid", "broker/mtls", "broker/policy", "broker/service", "broker/credential", "broker/keyring",
		"broker/audit", "broker/telemetry", "broker/kv", "broker/outbound", "broker/gateway/session", "broker/gateway/page", "broker/gateway/dpop",
		"broker/hygiene/doortest", "broker/identity/identitytest",
	},
	2: {
		"broker/authn", "broker/pep", "broker/token", "broker/client", "broker/embedded", "broker/embedded/openid", "broker/egress/inject",
		"broker/credential/sealed", "broker/credential/vault", "broker/credential/credentialtest",
		"broker/gateway/provider", "broker/gateway/route", "broker/gateway/upstream",
		"broker/gateway/session/redis", "broker/gateway/session/sessiontest", "sidecar/cache", "sidecar/sds",
	},
	3: {
		"broker/vend", "broker/exchange", "broker/egress", "broker/pdp", "broker/rotation", "broker/admin",
		"broker/gateway/bff", "broker/gateway/login", "broker/gateway/logout", "broker/gateway/provider/providertest",
		"sidecar/localapi", "sidecar/ingress", "sidecar/postgres",
	},
	4: {"broker", "broker/gateway", "sidecar", "sidecar/injector"},
	5: {"cmd/internal/dev", "cmd/internal/doctor", "broker/brokertest"},
	// gatewaytest stands on brokertest.
	6: {"broker/gateway/gatewaytest", "cmd/intercom", "cmd/intercom-broker", "cmd/intercom-gateway", "cmd/intercom-sidecar", "cmd/intercom-injector", "deploy/stack/up"},
	7: {"broker/gateway/gatewaytest/providersuite"},
}

// stack is beside the floors: of ours it imports words alone, and only tests and stages import it.
const stack = "deploy/stack"

// stages may import what assemblies may, stores among them, and deploy/stack.
const (
	assemblyFloor = 4
	stageFloor    = 5
)

// reserved are for some importers only, whatever their floor.
var reserved = map[string]int{
	"broker/credential/sealed":     assemblyFloor,
	"broker/credential/vault":      assemblyFloor,
	"broker/gateway/session/redis": assemblyFloor,
	"broker/telemetry":             assemblyFloor,
	stack:                          stageFloor,
}

// chromedp drives a browser in tests, and nowhere else.
const chromedp = "github.com/chromedp"

// forbidden is what a binary must not link, not even through others.
var forbidden = map[string][]string{
	"cmd/intercom-sidecar": {
		"github.com/casbin/casbin", module + "/broker/policy", module + "/broker/pep", module + "/broker/credential",
		module + "/broker/keyring", "github.com/coreos/go-oidc", module + "/broker/gateway", module + "/broker/embedded",
		"github.com/hashicorp/vault", "k8s.io", module + "/broker/kv", "github.com/redis/rueidis", chromedp,
	},
	"cmd/intercom-gateway": {
		module + "/broker/credential/sealed", module + "/broker/credential/vault", "github.com/hashicorp/vault",
		module + "/broker/vend", module + "/broker/exchange", module + "/broker/egress", module + "/broker/rotation",
		module + "/broker/admin", module + "/broker/embedded", chromedp,
	},
	"cmd/intercom-broker":   {module + "/broker/embedded", chromedp},
	"cmd/intercom-injector": {module + "/broker/embedded", chromedp},
	"cmd/intercom":          {chromedp},
}

// pkg is what `go list -json` says of one package.
type pkg struct {
	ImportPath string
	Name       string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func (p pkg) rel() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func floorOf(rel string) (int, bool) {
	for n, floor := range floors {
		if slices.Contains(floor, rel) {
			return n, true
		}
	}
	return 0, false
}

// check returns one sentence for each breach.
func check(pkgs []pkg) (breaches []string) {
	for _, p := range pkgs {
		if len(p.GoFiles) == 0 { // tests only: exempt from the floors
			continue
		}
		breaches = append(breaches, checkImports(p)...)
		breaches = append(breaches, checkLinks(p)...)
	}
	return breaches
}

func checkImports(p pkg) (breaches []string) {
	from, known := floorOf(p.rel())
	if p.rel() == stack {
		from, known = 1, true
	}
	if !known {
		return []string{p.rel() + " stands on no floor"}
	}
	for _, imp := range p.Imports {
		to, ours := strings.CutPrefix(imp, module+"/")
		if !ours {
			continue
		}
		if least, ok := reserved[to]; ok && from < least {
			breaches = append(breaches, fmt.Sprintf("%s must not import %s", p.rel(), to))
		}
		if at, known := floorOf(to); to != stack && (!known || at >= from) {
			breaches = append(breaches, fmt.Sprintf("%s (floor %d) imports upward: %s", p.rel(), from, to))
		}
	}
	return breaches
}

func checkLinks(p pkg) (breaches []string) {
	for _, bad := range forbidden[p.rel()] {
		for _, dep := range p.Deps {
			if dep == bad || strings.HasPrefix(dep, bad+"/") {
				breaches = append(breaches, fmt.Sprintf("%s must not link %s", p.rel(), dep))
			}
		}
	}
	return breaches
}

func list(t *testing.T) (pkgs []pkg) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,GoFiles,Imports,Deps", module+"/...").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go list: %s", exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestFloors(t *testing.T) {
	for _, breach := range check(list(t)) {
		t.Error(breach)
	}
}

// TestFloorsBite plants one breach of each sort: a table that names none of them holds nothing.
func TestFloorsBite(t *testing.T) {
	files := []string{"x.go"}
	for want, p := range map[string]pkg{
		"imports upward":     {ImportPath: module + "/broker/fault", GoFiles: files, Imports: []string{module + "/broker/vend"}},
		"stands on no floor": {ImportPath: module + "/broker/util", GoFiles: files},
		"must not link": {ImportPath: module + "/cmd/intercom-sidecar", GoFiles: files,
			Deps: []string{"github.com/casbin/casbin/v2"}},
		"must not import broker/credential/vault": {ImportPath: module + "/broker/vend", GoFiles: files,
			Imports: []string{module + "/broker/credential/vault"}},
		"must not import deploy/stack": {ImportPath: module + "/broker", GoFiles: files, Imports: []string{module + "/deploy/stack"}},
	} {
		if got := check([]pkg{p}); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("want one breach with %q, got %q", want, got)
		}
	}
}
