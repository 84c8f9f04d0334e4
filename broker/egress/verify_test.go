package egress_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	_, _ = io.WriteString(m, text)
	return m.Sum(nil)
}

func hashOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// percent writes s as AWS does.
func percent(s string, keep string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"+keep, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// verifyV4 is AWS's side of the signature, written after the specification and not after the signer: it takes
// the bytes that arrived and the secret, and returns the signature that it finds and the one that it expects.
func verifyV4(t testing.TB, raw, key string) (got, want string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " Credential=")
	cred, rest, _ := strings.Cut(rest, ", SignedHeaders=")
	names, got, _ := strings.Cut(rest, ", Signature=")
	_, scope, _ := strings.Cut(cred, "/")
	parts := strings.Split(scope, "/") // date, region, service, aws4_request
	if scheme != "AWS4-HMAC-SHA256" || len(parts) != 4 {
		t.Fatalf("not a signature: %q", r.Header.Get("Authorization"))
	}

	target, query, _ := strings.Cut(strings.Fields(raw)[1], "?")
	plain, err := url.PathUnescape(target)
	if err != nil {
		t.Fatal(err)
	}
	path := percent(plain, "/")
	if parts[2] != "s3" {
		path = percent(path, "/")
	}
	var head strings.Builder
	for name := range strings.SplitSeq(names, ";") {
		value := r.Host
		switch name {
		case "host":
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		default:
			var values []string
			for _, v := range r.Header.Values(name) {
				values = append(values, strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' }), " "))
			}
			value = strings.Join(values, ",")
		}
		head.WriteString(name + ":" + value + "\n")
	}
	hash := hashOf(string(body))
	if h := r.Header.Get("X-Amz-Content-Sha256"); h == "UNSIGNED-PAYLOAD" {
		hash = h
	} else if h != "" && h != hash {
		t.Errorf("the body's hash is %s", h)
	}
	canonical := strings.Join([]string{r.Method, path, canonicalQuery(t, query), head.String(), names, hash}, "\n")
	k := []byte("AWS4" + key)
	for _, part := range parts {
		k = mac(k, part)
	}
	return got, hex.EncodeToString(mac(k, strings.Join([]string{scheme, r.Header.Get("X-Amz-Date"), scope, hashOf(canonical)}, "\n")))
}

func canonicalQuery(t testing.TB, query string) string {
	t.Helper()
	if query == "" {
		return ""
	}
	var pairs [][2]string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		n, err := url.PathUnescape(name)
		v, err2 := url.PathUnescape(value)
		if err != nil || err2 != nil {
			t.Fatalf("query %q", query)
		}
		pairs = append(pairs, [2]string{percent(n, ""), percent(v, "")})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var out []string
	for _, p := range pairs {
		out = append(out, p[0]+"="+p[1])
	}
	return strings.Join(out, "&")
}

// verified checks the signature of what was received and puts SIGNATURE in its place, which depends on the
// port that the recorder was given.
func (w walked) verified(t *testing.T, text string) string {
	t.Helper()
	if !strings.Contains(w["service"], "sigv4") && !strings.Contains(w["service"], "hmac") || text == "" {
		return text
	}
	var got, want string
	if i := strings.Index(text, "SignedHeaders="); i >= 0 {
		got, want = verifyV4(t, text, w.field("secret_access_key"))
	} else {
		got, want = verifyHMAC(t, text, w.field("key"), strings.Fields(w["signed"]))
	}
	if got != want {
		t.Errorf("what arrived has the signature %s, and should have %s:\n%s", got, want, text)
	}
	return strings.ReplaceAll(text, got, "SIGNATURE")
}

// field returns the named field of whatever credential of the archive has it.
func (w walked) field(name string) string {
	for file, text := range w {
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(line, name+": "); ok && strings.HasPrefix(file, "credential/") {
				return strings.TrimSuffix(value, "\n")
			}
		}
	}
	return ""
}

// verifyHMAC is a receiver as package inject describes one.
func verifyHMAC(t *testing.T, raw, key string, names []string) (got, want string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	path, query, _ := strings.Cut(strings.Fields(raw)[1], "?")
	lines := []string{"intercom-hmac-v1", r.Method, path, query, r.Header.Get("X-Timestamp")}
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		lines = append(lines, name+":"+value)
	}
	return strings.TrimPrefix(r.Header.Get("X-Signature"), "v1="), hex.EncodeToString(mac([]byte(key), strings.Join(append(lines, hashOf(string(body))), "\n")))
}

// FuzzSignedIsSent holds that whatever passes hygiene arrives as it was signed, by AWS's own reckoning.
func FuzzSignedIsSent(f *testing.F) {
	f.Add("/a/b", "x=1&y", "v", "body", true)
	f.Add("/docs:commit%20", "b=2&a=%2B+&a=:&%E1%88%B4", "a   b", "", false)
	f.Add("/", "filter[a]=1&filterX=2&&=", `"q"`, "x", true)
	keys := credential.Fields{"access_key_id": secret.FromString("AKID"), "secret_access_key": secret.FromString("hunter2")}
	f.Fuzz(func(t *testing.T, path, query, value, body string, s3 bool) {
		clean, err := hygiene.CleanPath(path)
		odd := func(r rune) bool { return r <= ' ' && r != ' ' || r >= 0x7f }
		if err != nil || strings.ContainsFunc(query, func(r rune) bool { return odd(r) || r == ' ' || r == '#' }) || strings.ContainsFunc(value, odd) {
			return
		}
		plain, err := url.PathUnescape(clean)
		if err != nil {
			t.Fatal(err)
		}
		how := &service.SigV4{Region: "eu-central-1", Service: "execute-api"}
		if s3 {
			how.Service = "s3"
		}
		u := &url.URL{Scheme: "https", Host: "a.test:443", Path: plain, RawPath: clean, RawQuery: query}
		r := &inject.Request{Method: "PUT", URL: u, Header: http.Header{"X-Value": {strings.TrimSpace(value)}}, Body: []byte(body), Length: int64(len(body)), Now: signedAt}
		if inject.SigV4(r, how, keys) != nil {
			return
		}
		var raw bytes.Buffer
		out := &http.Request{Method: "PUT", URL: u, Host: inject.Host(u), Header: r.Header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		if body == "" {
			out.Body = http.NoBody
		}
		if err := out.Write(&raw); err != nil {
			t.Fatal(err)
		}
		if got, want := verifyV4(t, raw.String(), "hunter2"); got != want {
			t.Fatalf("signed %s, want %s:\n%s", got, want, raw.String())
		}
	})
}
