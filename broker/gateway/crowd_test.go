package gateway_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// envCrowd makes this test binary the other side of a benchmark: browsers and the service, so that what they cost
// is not in the getrusage of the process that proxies.
const envCrowd = "INTERCOM_BENCH_CROWD"

// atOnce is how many requests are under way at once.
const atOnce = 64

// order is what the other side is to send.
type order struct {
	Addr, Origin, Proto, Roots, Cookie string
	// Token is whether the service must get one.
	Token bool
	N     int
}

// crowd is the other side, as a benchmark sees it.
type crowd struct {
	upstream string
	ask      *json.Encoder
	reply    *bufio.Reader
}

func newCrowd(b *testing.B) *crowd {
	b.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:noctx // it ends when its input does
	cmd.Env, cmd.Stderr = append(os.Environ(), envCrowd+"=1"), os.Stderr
	ask, err := cmd.StdinPipe()
	must(b, err)
	reply, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() { _, _ = ask.Close(), cmd.Wait() })
	l := &crowd{ask: json.NewEncoder(ask), reply: bufio.NewReader(reply)}
	l.upstream = l.line(b)
	return l
}

func (l *crowd) line(b *testing.B) string {
	b.Helper()
	line, err := l.reply.ReadString('\n')
	must(b, err)
	return strings.TrimSpace(line)
}

// run returns when the requests have been answered.
func (l *crowd) run(b *testing.B, o order) {
	b.Helper()
	must(b, l.ask.Encode(o))
	if said := l.line(b); said != "ok" {
		b.Fatal(said)
	}
}

// runCrowd is the child: it says where its service is, and then obeys. It ends when its input does.
func runCrowd() {
	payload := []byte(strings.Repeat("x", 1024))
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Token", strconv.FormatBool(strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey")))
		_, _ = w.Write(payload)
	}))
	defer service.Close()
	fmt.Println(service.URL)
	clients := map[string]*http.Client{}
	in := json.NewDecoder(os.Stdin)
	for o := (order{}); in.Decode(&o) == nil; {
		key := o.Addr + o.Proto
		if clients[key] == nil {
			clients[key] = o.client()
		}
		if err := o.send(clients[key]); err != nil {
			fmt.Printf("%q\n", err.Error())
			continue
		}
		fmt.Println("ok")
	}
}

// client reaches the one address under the name of the origin, over the one protocol.
func (o order) client() *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(o.Roots))
	t := &http.Transport{
		MaxIdleConnsPerHost: atOnce, DisableCompression: true, Protocols: new(http.Protocols),
		TLSClientConfig: &tls.Config{RootCAs: roots},
		Dial:            func(string, string) (net.Conn, error) { return net.Dial("tcp", o.Addr) }, //nolint:noctx // a benchmark's
	}
	t.Protocols.SetHTTP1(o.Proto == "http1")
	t.Protocols.SetHTTP2(o.Proto == "http2")
	return &http.Client{Transport: t}
}

func (o order) send(client *http.Client) error {
	errs := make([]error, atOnce)
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			for range o.N/atOnce + min(1, max(0, o.N%atOnce-i)) {
				errs[i] = errors.Join(errs[i], o.one(client))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// one is a request with the header fields that a browser has.
func (o order) one(client *http.Client) error {
	r, err := http.NewRequest(http.MethodGet, o.Origin+"/orders/4711?expand=lines", nil) //nolint:noctx // a benchmark's
	if err != nil {
		return err
	}
	providertest.SetHeaders(r.Header, append(providertest.Fetch(o.Origin), "Accept: application/json", "Accept-Language: en",
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Referer: "+o.Origin+"/", "Cookie: "+o.Cookie)...)
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if token := res.Header.Get("X-Token"); err == nil && (res.StatusCode != http.StatusOK || len(text) != 1024 || token != strconv.FormatBool(o.Token)) {
		err = fmt.Errorf("%d with %d bytes, token: %q", res.StatusCode, len(text), token) //nolint:err113 // a benchmark's
	}
	return err
}
