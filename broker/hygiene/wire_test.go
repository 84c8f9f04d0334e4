package hygiene_test

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

// serve runs net/http behind the wrapper and returns the address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, MaxHeaderBytes: hygiene.MaxHead, Protocols: protocols}
	go func() { _ = srv.Serve(hygiene.Listener(l)) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

// exchange sends raw bytes, in pieces if there are several, and returns all that comes back.
func exchange(t *testing.T, addr string, pieces ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	for i, piece := range pieces {
		if i > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		if _, err := io.WriteString(c, piece); err != nil {
			break
		}
	}
	_ = c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	return string(answer)
}

func statuses(answer string) (list []string) {
	for _, m := range regexp.MustCompile(`HTTP/1\.[01] (\d\d\d) `).FindAllStringSubmatch(answer, -1) {
		list = append(list, m[1])
	}
	return list
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, "<"+r.Method+" "+r.URL.Path+" "+string(body)+">")
}

func TestConn(t *testing.T) {
	addr := serve(t, echo)
	const host = "Host: a\r\n"
	tests := map[string]struct {
		pieces []string
		want   string // the statuses
		body   string
	}{
		"plain":               {[]string{"GET /x HTTP/1.1\r\n" + host + "\r\n"}, "200", "<GET /x >"},
		"http/1.0":            {[]string{"GET /x HTTP/1.0\r\n\r\n"}, "200", "<GET /x >"},
		"in pieces":           {[]string{"GE", "T /x HTT", "P/1.1\r", "\n" + host + "\r", "\n"}, "200", "<GET /x >"},
		"length":              {[]string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc"}, "200", "<POST /x abc>"},
		"length in pieces":    {[]string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\na", "b", "c"}, "200", "<POST /x abc>"},
		"chunks":              {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"}, "200", "<POST /x abcde>"},
		"chunks in pieces":    {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r", "\nab", "c\r", "\n0\r\n", "\r\n"}, "200", "<POST /x abc>"},
		"trailers":            {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n"}, "200", "<POST /x abc>"},
		"pipelined":           {[]string{"GET /1 HTTP/1.1\r\n" + host + "\r\nPOST /2 HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\nzGET /3 HTTP/1.1\r\n" + host + "\r\n"}, "200 200 200", "<POST /2 z>"},
		"pipelined, last bad": {[]string{"GET /1 HTTP/1.1\r\n" + host + "\r\nGET /2 HTTP/1.1\n" + host + "\r\n"}, "200 400", "<GET /1 >"},
		"nothing after bad":   {[]string{"GET /1 HTTP/1.1\n" + host + "\r\nGET /2 HTTP/1.1\r\n" + host + "\r\n"}, "400", ""},
		"absolute":            {[]string{"GET http://a/x HTTP/1.1\r\n" + host + "\r\n"}, "200", "<GET /x >"},
		"absolute with port":  {[]string{"GET http://a:80/x HTTP/1.1\r\n" + host + "\r\n"}, "200", "<GET /x >"},
		"url in the query":    {[]string{"GET /x?u=http://b/ HTTP/1.1\r\n" + host + "\r\n"}, "200", "<GET /x >"},

		"length and coding":       {[]string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, "400", ""},
		"coding and length":       {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"}, "400", ""},
		"two lengths":             {[]string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"}, "400", ""},
		"list of lengths":         {[]string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\nabc"}, "400", ""},
		"signed length":           {[]string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\nabc"}, "400", ""},
		"overflowing length":      {[]string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\nabc"}, "400", ""},
		"coding twice":            {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"}, "400", ""},
		"unknown coding":          {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"}, "400", ""},
		"coding in 1.0":           {[]string{"POST /x HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, "400", ""},
		"bare line feeds":         {[]string{"GET /x HTTP/1.1\n" + "Host: a\n\n"}, "400", ""},
		"one bare line feed":      {[]string{"GET /x HTTP/1.1\r\n" + host + "A: b\n\r\n"}, "400", ""},
		"bare end of head":        {[]string{"GET /x HTTP/1.1\r\n" + host + "\n"}, "400", ""},
		"folded by space":         {[]string{"GET /x HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n"}, "400", ""},
		"folded by tab":           {[]string{"GET /x HTTP/1.1\r\n" + host + "A: b\r\n\tc\r\n\r\n"}, "400", ""},
		"space before colon":      {[]string{"GET /x HTTP/1.1\r\n" + host + "Content-Length : 3\r\n\r\nabc"}, "400", ""},
		"two hosts":               {[]string{"GET /x HTTP/1.1\r\n" + host + host + "\r\n"}, "400", ""},
		"absolute, other host":    {[]string{"GET http://b/x HTTP/1.1\r\n" + host + "\r\n"}, "400", ""},
		"absolute, user":          {[]string{"GET http://a@b/x HTTP/1.1\r\n" + host + "\r\n"}, "400", ""},
		"leading line":            {[]string{"\r\nGET /x HTTP/1.1\r\n" + host + "\r\n"}, "400", ""},
		"version 1.2":             {[]string{"GET /x HTTP/1.2\r\n" + host + "\r\n"}, "400", ""},
		"preface, not first":      {[]string{"GET /x HTTP/1.1\r\n" + host + "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, "200 400", ""},
		"chunk size, bare feed":   {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"}, "400", "not well framed"},
		"extension, bare feed":    {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n"}, "400", "not well framed"},
		"chunk size with space":   {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n"}, "400", "not well framed"},
		"negative chunk":          {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"}, "400", "not well framed"},
		"overflowing chunk":       {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n"}, "400", "not well framed"},
		"chunk longer than size":  {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"}, "400", "not well framed"},
		"trailer, bare feed":      {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n"}, "400", "trailer"},
		"trailer, folded":         {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n"}, "400", "trailer"},
		"endless chunk extension": {[]string{"POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("a", 80<<10)}, "400", "not well framed"},
		"long head":               {[]string{"GET /x HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 31<<10) + "\r\n\r\n"}, "200", "<GET /x >"},
		"head over the bound":     {[]string{"GET /x HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 80<<10) + "\r\n\r\n"}, "431", ""},
		"many fields":             {[]string{"GET /x HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 20<<10) + "\r\n"}, "431", ""},
		"websocket with a body":   {[]string{"GET /x HTTP/1.1\r\n" + host + "Upgrade: websocket\r\nContent-Length: 1\r\n\r\nz"}, "400", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := exchange(t, addr, test.pieces...)
			if strings.HasSuffix(test.want, "400") && test.body == "" {
				test.body = "\r\n\r\n400 Bad Request" // net/http's own words: no handler has seen it
			}
			if got := strings.Join(statuses(answer), " "); got != test.want || !strings.Contains(answer, test.body) {
				t.Errorf("got %q, want %q with %q in\n%s", got, test.want, test.body, answer)
			}
		})
	}
}
