package egress_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/intercom-broker/intercom/broker/egress"
)

// hostile is one request of the corpus and what is expected of it.
type hostile struct {
	raw             string
	status          string
	closed, reached bool
	decided         bool // whether reaching the upstream is looked at
	lacks           []string
	has             [][2]string
	uri             string
}

func readHostile(t *testing.T, data []byte) (h hostile) {
	t.Helper()
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if want, ok := strings.CutPrefix(line, "> "); ok {
			h.expect(want)
			continue
		}
		end := "\r\n"
		if strings.HasSuffix(line, `\n`) {
			end = "\n"
			line = strings.TrimSuffix(line, `\n`)
		} else if strings.HasSuffix(line, `\c`) {
			end = ""
			line = strings.TrimSuffix(line, `\c`)
		}
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(line, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		h.raw += text + end
	}
	names := strings.NewReplacer("DOOR", "door.test", "CRM", "crm", "KEYED", "keyed")
	h.raw = names.Replace(h.raw)
	return h
}

func (h *hostile) expect(want string) {
	words := strings.SplitN(want, " ", 3)
	switch words[0] {
	case "lacks":
		h.lacks = append(h.lacks, words[1])
	case "has":
		value := strings.NewReplacer("BASIC", basic, "KEY", apiToken).Replace(words[2])
		h.has = append(h.has, [2]string{words[1], value})
	case "uri":
		h.uri = words[1]
	default:
		h.status, h.closed = words[0], slices.Contains(words, "closed")
		h.reached = slices.Contains(words, "reached")
		h.decided = h.reached || strings.HasSuffix(want, "not")
	}
}

// recorder is an upstream that keeps what arrived.
type recorder struct {
	mu   sync.Mutex
	last *seen
}

func (u *recorder) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/next" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = &seen{r.Method, r.Host, r.RequestURI, r.Header, r.Proto}
	for name := range r.Trailer {
		r.Header["Trailer"] = append(r.Header["Trailer"], name)
	}
}

func (u *recorder) take() *seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last
	u.last = nil
	return last
}

// TestHostile sends the corpus through TLS as it is written: no client library would.
func TestHostile(t *testing.T) {
	up, registry := &recorder{}, prometheus.NewRegistry()
	_, flow := upstream(t, up.ServeHTTP)
	d := newDoor(t, crm(flow)+"  keyed:\n    upstream: "+flow+"\n    inject: { header: { name: X-User-Id, credential: crm/token } }\n",
		func(cfg *egress.Config) { cfg.Metrics = egress.NewMetrics(registry) })
	data, err := os.ReadFile("../hygiene/testdata/hostile.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range txtar.Parse(data).Files {
		t.Run(file.Name, func(t *testing.T) { d.send(t, up, readHostile(t, file.Data)) })
	}
	t.Run("no upstream was blamed", func(t *testing.T) {
		if got := sum(t, registry, "intercom_egress_upstream_failures_total"); got != 0 {
			t.Errorf("%v upstream failures", got)
		}
	})
}

func (d *door) send(t *testing.T, up *recorder, h hostile) {
	t.Helper()
	up.take()
	c, err := tls.Dial("tcp", d.addr, d.clientTLS("/orders", "http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	// What follows on the same connection is answered only where it may be kept.
	const next = "GET /crm/next HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\n\r\n"
	go func() { _, _ = io.WriteString(c, h.raw+next) }()
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	got := up.take()
	if strconv.Itoa(res.StatusCode) != h.status {
		t.Errorf("status %d, want %s", res.StatusCode, h.status)
	}
	if _, err := r.Peek(1); (err != nil) != h.closed {
		t.Errorf("closed: %v, want %v", err, h.closed)
	}
	if h.decided && (got != nil) != h.reached {
		t.Errorf("reached the upstream: %v, want %v", got != nil, h.reached)
	}
	if got != nil {
		h.check(t, got)
	}
}

func (h hostile) check(t *testing.T, got *seen) {
	t.Helper()
	for _, name := range h.lacks {
		if v, ok := got.Header[name]; ok {
			t.Errorf("%s arrived: %q", name, v)
		}
	}
	for _, want := range h.has {
		if v := got.Header[want[0]]; len(v) != 1 || v[0] != want[1] {
			t.Errorf("%s arrived as %q, want %q", want[0], v, want[1])
		}
	}
	if h.uri != "" && got.URI != h.uri {
		t.Errorf("arrived at %s, want %s", got.URI, h.uri)
	}
}

// sum adds up all children of a counter.
func sum(t *testing.T, g prometheus.Gatherer, name string) (total float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}
