package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// step is one row of the check.
type step struct {
	name string
	run  func(context.Context) (seen string, err error)
}

// Check does what the printed page says to try, prints a row per step, and returns whether all behaved.
func (w *World) Check(ctx context.Context, out io.Writer) bool {
	paint, all := cli.PaintFor(out), true
	for _, s := range w.steps() {
		began := time.Now()
		seen, err := s.run(ctx)
		mark, text := paint.Good("ok  "), seen
		if err != nil {
			mark, text, all = paint.Bad("FAIL"), err.Error(), false
		}
		fmt.Fprintf(out, "%s %-52s %s %s\n", mark, s.name, text, paint.Dim(time.Since(began).Round(time.Millisecond).String()))
	}
	return all
}

func (w *World) steps() []step {
	return []step{
		{"a go-spiffe client gets its SVID from the socket", w.checkWorkloadAPI},
		{"broker, sidecar and gateway say that they are ready", w.checkReady},
		{"orders → inventory with a minted token", w.checkToken},
		{"orders → crm with the password put in on the way", w.checkInject},
		{"orders calls both through its sidecar", w.checkOrders},
		{"a token for the application, asked of the sidecar", w.checkTokenAPI},
		{"a web page on this machine is refused", w.checkForeignPage},
		{"DELETE at crm is denied, and explained", w.checkDenied},
		{"a browser logs in, calls and logs out", w.checkBrowser},
		{"bob logs in too, and is not of the group", w.checkGroups},
		{"the emergency switch denies at once", w.checkDenyNow},
		{"the audit log verifies", w.checkAudit},
	}
}

func (w *World) checkWorkloadAPI(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	svid, err := workloadapi.FetchX509SVID(ctx, workloadapi.WithAddr(w.socket("orders")))
	if err != nil {
		return "", err
	}
	return svid.ID.String(), nil
}

// answer is what came back, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request and returns the answer, whatever its status.
func (w *World) ask(ctx context.Context, method, url string, headers ...string) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return a, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return answer{res.StatusCode, res.Header, string(body)}, err
}

// want is what an answer has to be.
type want struct {
	status int
	text   string // in the body; empty means any
}

// wants asks and demands an answer.
func (w *World) wants(ctx context.Context, want want, method, url string, headers ...string) (http.Header, error) {
	a, err := w.ask(ctx, method, url, headers...)
	switch {
	case err != nil:
		return nil, err
	case a.status != want.status:
		return nil, fmt.Errorf("%s %s: want status %d, got %d: %s", method, url, want.status, a.status, a.body)
	case !strings.Contains(a.body, want.text):
		return nil, fmt.Errorf("%s %s: want %q in %s", method, url, want.text, a.body)
	}
	return a.header, nil
}

func (w *World) checkReady(ctx context.Context) (string, error) {
	for _, admin := range []string{w.Admin, w.SidecarAdmin, w.GatewayAdmin} {
		if _, err := w.wants(ctx, want{http.StatusOK, ""}, http.MethodGet, "http://"+admin+"/readyz"); err != nil {
			return "", err
		}
	}
	return w.Admin + ", " + w.SidecarAdmin + ", " + w.GatewayAdmin, nil
}

func (w *World) checkToken(ctx context.Context) (string, error) {
	if _, err := w.wants(ctx, want{http.StatusUnauthorized, ""}, http.MethodGet, "http://"+w.Inventory+"/items"); err != nil {
		return "", fmt.Errorf("without a token: %w", err)
	}
	_, err := w.wants(ctx, want{http.StatusOK, `"caller": "spiffe://intercom.test/orders"`}, http.MethodGet, w.Sidecar+"/inventory/items")
	return "inventory saw spiffe://intercom.test/orders", err
}

func (w *World) checkInject(ctx context.Context) (string, error) {
	if _, err := w.wants(ctx, want{http.StatusUnauthorized, ""}, http.MethodGet, "http://"+w.CRM+"/customers"); err != nil {
		return "", fmt.Errorf("without a password: %w", err)
	}
	header, err := w.wants(ctx, want{http.StatusOK, `"user": "intercom"`}, http.MethodGet, w.Sidecar+"/crm/customers")
	if err != nil {
		return "", err
	}
	return "decision " + header.Get(fault.DecisionHeader), nil
}

func (w *World) checkOrders(ctx context.Context) (string, error) {
	_, err := w.wants(ctx, want{http.StatusOK, "washers"}, http.MethodGet, w.Orders+"/orders")
	return w.Orders + "/orders", err
}

func (w *World) checkTokenAPI(ctx context.Context) (string, error) {
	url := w.Sidecar + "/v1/token?audience=inventory"
	if a, err := w.ask(ctx, http.MethodGet, url); err != nil || a.status == http.StatusOK {
		return "", errors.Join(err, errors.New("the token API answers without the header Intercom-Request"))
	}
	_, err := w.wants(ctx, want{http.StatusOK, "access_token"}, http.MethodGet, url, "Intercom-Request", "1")
	return "only with the header Intercom-Request: 1", err
}

func (w *World) checkForeignPage(ctx context.Context) (string, error) {
	_, err := w.wants(ctx, want{http.StatusForbidden, ""}, http.MethodGet, w.Sidecar+"/crm/customers", "Origin", "https://evil.example")
	return "403 for a foreign Origin", err
}

func (w *World) checkDenied(ctx context.Context) (string, error) {
	header, err := w.wants(ctx, want{http.StatusForbidden, ""}, http.MethodDelete, w.Sidecar+"/crm/customers/7")
	if err != nil {
		return "", err
	}
	id := header.Get(fault.DecisionHeader)
	entries, err := audit.Find(w.path("audit"), id)
	if err != nil {
		return "", err
	}
	e := entries[0]
	question := policy.Question{Subject: e.Subject, Action: e.Action, Resource: e.Resource, Time: e.Time}
	request, err := question.Request()
	if err != nil {
		return "", err
	}
	snapshot, kept := policy.LoadRevision(broker.PolicyHistory(w.path("audit")), e.Revision)
	if !kept {
		return "", fmt.Errorf("revision %s is not kept", e.Revision)
	}
	x, err := snapshot.Explain(ctx, request)
	if err != nil || x.Allow {
		return "", errors.Join(err, errors.New("the explanation does not deny"))
	}
	return x.Why, nil
}

// checkDenyNow switches inventory off for a moment, and on again.
func (w *World) checkDenyNow(ctx context.Context) (string, error) {
	const resource = "service/crm/GET/**"
	file, err := policy.DenyNow(w.path("policy"), resource, time.Minute, "dev --check", time.Now())
	if err != nil {
		return "", err
	}
	began := time.Now()
	url := w.Sidecar + "/crm/customers"
	if err := w.eventually(ctx, http.StatusForbidden, url); err != nil {
		return "", err
	}
	took := time.Since(began)
	if err := os.Remove(file); err != nil {
		return "", err
	}
	return "after " + took.Round(time.Millisecond).String(), w.eventually(ctx, http.StatusOK, url)
}

// eventually asks until the status comes, for as long as a change of policy may take and some more.
func (w *World) eventually(ctx context.Context, status int, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if a, err := w.ask(ctx, http.MethodGet, url); err == nil && a.status == status {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer %d within 5 s", url, status)
		case <-tick.C:
		}
	}
}

func (w *World) checkAudit(context.Context) (string, error) {
	report, err := audit.Verify(w.path("audit"), nil)
	if err != nil {
		return "", err
	}
	if report.Broken != nil {
		return "", report.Broken
	}
	return fmt.Sprintf("%d decisions, %d denied, %d outcomes", report.Decisions, report.Denied, report.Outcomes), nil
}
