package proxies_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// process is a gateway as operators run it: the binary, with a file, ended by SIGTERM.
type process struct {
	*stack.Process
	front string
}

// processes starts n gateways that are configured as the world's own, but for the drain.
func (w *world) processes(t *testing.T, n int, drain time.Duration) (out []*process) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the gateway, which -short does without")
	}
	binary := filepath.Join(t.TempDir(), "intercom-gateway")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/intercom-gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cfg := w.Config(t, w.Gateways[0].Config.Provider)
	for i, port := range stack.FreePorts(t, n) {
		out = append(out, w.process(t, binary, fmt.Sprintf("process%d", i), cfg, port, drain))
	}
	return out
}

func (w *world) process(t *testing.T, binary, name string, cfg gateway.Config, port int, drain time.Duration) *process {
	t.Helper()
	front, admin := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", stack.FreePorts(t, 1)[0])
	w.Write(t, name+".yaml", fmt.Sprintf(`version: 1
listen: { address: %q, cert: tls.pem, key: tls.key, admin: %q }
origins: [{ url: %q }]
provider: { issuer: %q, client_id: gateway, ca: idp.pem, scopes: [profile, groups], secret: %q }
sessions: { redis: { addresses: [%q] }, keys: [%q] }
identity: { socket: %q }
brokers: { id: %q, mesh: [%q], egress: [%q], audience: %q }
services: %q
policy: broker
audit: { dir: %q }
trusted_proxies: [127.0.0.1]
drain: %s
`, front, admin, w.Origin(), cfg.Provider.Issuer, "file:"+w.Path("client-secret"), w.redis.Addr, "file:"+w.Path("sealing"), cfg.Identity.Socket, cfg.Brokers.ID, cfg.Brokers.Mesh[0], cfg.Brokers.Egress[0], cfg.Brokers.Audience,
		cfg.Services, name, drain))
	p, err := stack.Start(t.Context(), stack.Command{
		Name: name, Path: binary, Args: []string{"--config", w.Path(name + ".yaml")}, Dir: w.Dir, Log: w.Path(name + ".log"),
		Ready: func(ctx context.Context) error { return ready(ctx, "http://"+admin+"/readyz") },
	})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.LogTail(20))
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &process{p, front}
}

func ready(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
