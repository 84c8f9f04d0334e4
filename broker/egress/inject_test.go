package egress_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// signedAt is the time by which the walked requests are signed.
var signedAt = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// wire is a server that keeps the bytes of what it is sent, and answers each with the same.
type wire struct {
	net.Listener
	url    string
	answer string

	mu      sync.Mutex
	raw     []string
	clients []string // the names in the certificates that were shown
}

// record starts a wire behind TLS, which asks for a client certificate, or without.
func (d *door) record(t testing.TB, scheme, answer string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &wire{Listener: l, url: scheme + "://" + l.Addr().String(), answer: answer}
	if scheme == "https" {
		cert := httptest.NewUnstartedServer(nil)
		cert.StartTLS()
		t.Cleanup(cert.Close)
		d.roots.AddCert(cert.Certificate())
		r.Listener = tls.NewListener(l, &tls.Config{Certificates: cert.TLS.Certificates, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}})
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := r.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *wire) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	var raw bytes.Buffer
	in, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, in.Body); err != nil {
		return
	}
	r.mu.Lock()
	r.raw = append(r.raw, raw.String())
	if secure, ok := c.(*tls.Conn); ok {
		for _, cert := range secure.ConnectionState().PeerCertificates[:min(1, len(secure.ConnectionState().PeerCertificates))] {
			r.clients = append(r.clients, cert.Subject.CommonName)
		}
	}
	r.mu.Unlock()
	_, _ = io.WriteString(c, r.answer)
}

// received returns the bytes that came.
func (r *wire) received() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.raw, "")
}

// text has the line ends of text, and name in place of the address.
func (r *wire) text(raw, name string) string {
	_, host, _ := strings.Cut(r.url, "://")
	return strings.NewReplacer("\r\n", "\n", host, name).Replace(raw)
}

// walked is one archive: what goes in, and what is expected to come out.
type walked map[string]string

func readWalked(t *testing.T, file string) walked {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := walked{}
	for _, f := range archive.Files {
		w[f.Name] = string(f.Data)
	}
	return w
}

// fields returns the fields of a credential; $CERTIFICATE and $KEY are those of the pair.
func (w walked) fields(text string, pair *strings.Replacer) credential.Fields {
	f := credential.Fields{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		f[name] = secret.FromString(pair.Replace(value))
	}
	return f
}

// message is a message as it is sent: an archive ends each file with a newline, also after a body.
func message(text string) string {
	head, body, _ := strings.Cut(text, "\n\n")
	if body = strings.TrimSuffix(body, "\n"); strings.Contains(head, "chunked") {
		body = strings.ReplaceAll(body+"\n", "\n", "\r\n")
	}
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
}

// TestInjection walks the archives: a service file, its credentials, the request as the caller sends it, and
// the request as the service gets it, byte for byte.
func TestInjection(t *testing.T) {
	files, err := filepath.Glob("testdata/inject/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { walkInjection(t, readWalked(t, file)) })
	}
}

func walkInjection(t *testing.T, w walked) {
	d := newDoor(t, nothing, func(cfg *egress.Config) { cfg.Now = func() time.Time { return signedAt } })
	scheme := "https"
	if strings.Contains(w["service"], "PLAIN") {
		scheme = "http"
	}
	up := d.record(t, scheme, message(w.or("response", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok")))
	tokens := d.record(t, "https", message(w["token-response"]))
	flow := at(up.url)
	d.services(t, "  api:\n    "+strings.NewReplacer("\n", "\n    ", "UPSTREAM", flow, "PLAIN", flow, "TOKENS", tokens.url).Replace(strings.TrimSpace(w["service"]))+"\n")
	certificate, key := stack.NewPair(t, "intercom")
	pair := strings.NewReplacer("$CERTIFICATE", certificate, "$KEY", key, `\n`, "\n")
	d.store.fields = map[credential.Name]credential.Fields{}
	for name, text := range w {
		if name, ok := strings.CutPrefix(name, "credential/"); ok {
			d.store.fields[credential.Name(name)] = w.fields(text, pair)
		}
	}
	head, body := d.raw(t, w["request"])
	w.check(t, "upstream", up.text(w.verified(t, up.received()), "UPSTREAM"))
	w.check(t, "token-request", tokens.text(tokens.received(), "TOKENS"))
	w.check(t, "client", strings.Join(up.clients, "\n"))
	w.checkAnswer(t, head+"\n"+body)
	if want, ok := w["audit"]; ok {
		e := d.journal.last(t)
		if got := fmt.Sprintf("%s@%d %s\n", e.Credential, e.Version, e.Result); got != want {
			t.Errorf("the audit log has %q, want %q", got, want)
		}
	}
}

func (w walked) or(name, otherwise string) string {
	if text, ok := w[name]; ok {
		return text
	}
	return otherwise
}

func (w walked) check(t *testing.T, name, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSuffix(w[name], "\n"), strings.TrimSuffix(got, "\n")); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// checkAnswer holds the status line, and that the answer has the other lines, and has not those with a `!`.
func (w walked) checkAnswer(t *testing.T, got string) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(w.or("answer", "200")), "\n") {
		not, absent := strings.CutPrefix(line, "!")
		switch {
		case i == 0 && !strings.HasPrefix(got, "HTTP/1.1 "+line),
			absent && strings.Contains(got, not),
			!absent && !strings.Contains(got, line):
			t.Errorf("want %q of the answer\n%s", line, got)
		}
	}
	for name, text := range w { // whatever else: no credential comes back
		if !strings.HasPrefix(name, "credential/") {
			continue
		}
		for line := range strings.Lines(text) {
			if _, value, _ := strings.Cut(strings.TrimSpace(line), ": "); len(value) >= 8 && strings.Contains(got, value) {
				t.Errorf("%s comes back in\n%s", name, got)
			}
		}
	}
}

// raw sends a request to the door as it stands in the archive, and returns the answer's head and body.
func (d *door) raw(t *testing.T, request string) (head, body string) {
	t.Helper()
	c, err := tls.Dial("tcp", d.addr, d.clientTLS("/orders", "http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, message(request)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var h strings.Builder
	fmt.Fprintf(&h, "%s %s\n", res.Proto, res.Status)
	_ = res.Header.Write(&h)
	return strings.ReplaceAll(h.String(), "\r\n", "\n"), string(b)
}
