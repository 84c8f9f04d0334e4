package inject_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/service"
)

const hmacKey = "correct horse battery staple"

var signed = &service.HMAC{Header: "X-Signature", Timestamp: "X-Timestamp", Prefix: "v1=", Headers: []string{"Host", "Content-Type"}}

// TestHMACVectors walks the vectors: the signature is that of the canonical form in the file, so what was
// signed is that form.
func TestHMACVectors(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/hmac.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	cases := 0
	for name, request := range files {
		name, ok := strings.CutSuffix(name, "/request")
		if !ok {
			continue
		}
		cases++
		want := strings.TrimSpace(files[name+"/signature"])
		mac := hmac.New(sha256.New, []byte(hmacKey))
		_, _ = io.WriteString(mac, strings.TrimSuffix(files[name+"/canonical"], "\n"))
		if hex.EncodeToString(mac.Sum(nil)) != want {
			t.Errorf("%s: the vector is wrong in itself", name)
		}
		r := parsed(t, request)
		if err := inject.HMAC(r, signed, fields("key", hmacKey)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Header.Get("X-Signature") != "v1="+want || r.Header.Get("X-Timestamp") != "1440938160" {
			t.Errorf("%s: %v, want %s", name, r.Header, want)
		}
	}
	if cases < 4 {
		t.Errorf("only %d cases", cases)
	}
}

func parsed(t *testing.T, raw string) *inject.Request {
	t.Helper()
	in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		t.Fatal(err)
	}
	in.URL.Scheme, in.URL.Host = "https", in.Host
	return &inject.Request{Method: in.Method, URL: in.URL, Header: in.Header, Body: body, Now: suiteTime}
}

// TestHMACCovers changes one thing after another: each is another signature.
func TestHMACCovers(t *testing.T) {
	sign := func(change func(*inject.Request)) string {
		r := signing(t, "POST", "https://a.test/x?y=z", http.Header{"Content-Type": {"text/plain"}}, "body")
		change(r)
		if err := inject.HMAC(r, signed, fields("key", hmacKey)); err != nil {
			t.Fatal(err)
		}
		return r.Header.Get("X-Signature")
	}
	seen := map[string]string{sign(func(*inject.Request) {}): "nothing"}
	for what, change := range map[string]func(*inject.Request){
		"the method": func(r *inject.Request) { r.Method = "PUT" },
		"the path":   func(r *inject.Request) { r.URL.Path = "/x/" },
		"the query":  func(r *inject.Request) { r.URL.RawQuery = "y=" },
		"the host":   func(r *inject.Request) { r.URL.Host = "b.test" },
		"the time":   func(r *inject.Request) { r.Now = r.Now.Add(1e9) },
		"the body":   func(r *inject.Request) { r.Body = nil },
		"a header":   func(r *inject.Request) { r.Header.Set("Content-Type", "text/html") },
	} {
		s := sign(change)
		if other, ok := seen[s]; ok {
			t.Errorf("%s and %s have one signature", what, other)
		}
		seen[s] = what
	}
	if other := sign(func(r *inject.Request) { r.Header.Set("X-Other", "1") }); seen[other] != "nothing" {
		t.Error("what is not chosen is signed")
	}
}

func TestHMACWithoutKey(t *testing.T) {
	r := signing(t, "GET", "https://a.test/", nil, "")
	if err := inject.HMAC(r, signed, fields("value", "hunter2")); fault.From(err).Reason != inject.ReasonUnusable || len(r.Header) != 0 {
		t.Errorf("%v %v", err, r.Header)
	}
}

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.test": "a.test", "https://a.test:443": "a.test", "https://a.test:8443": "a.test:8443", "http://a.test:80": "a.test",
		"http://a.test:443": "a.test:443", "https://[::1]:443": "[::1]", "https://bücher.test": "xn--bcher-kva.test",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := inject.Host(u); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
