package gatewaytest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// ServeClaims is a service that says what the token says that it got, and under "raw" the token, for who verifies it.
func ServeClaims(w http.ResponseWriter, r *http.Request) {
	_, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	claims["raw"] = raw
	_ = json.NewEncoder(w).Encode(claims)
}

// ServeEcho is a service that opens a WebSocket, and says there what it hears.
func ServeEcho(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the gateway has checked the origin
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, text, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, text) != nil {
			return
		}
	}
}

// ServeStream is a service that sends one event, and then nothing until the browser goes.
func ServeStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = w.Write([]byte("data: begun\n\n"))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// Socket opens a WebSocket, as a page of that origin does.
func (p *Person) Socket(path, origin string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	p.t.Cleanup(cancel)
	return websocket.Dial(ctx, p.Home+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: p.Plainly(), Jar: p.HTTP.Jar}, HTTPHeader: http.Header{"Origin": {origin}},
	})
}

// Plainly is the way of the person's requests without HTTP/2.
func (p *Person) Plainly() *http.Transport {
	transport := p.HTTP.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	p.t.Cleanup(transport.CloseIdleConnections)
	return transport
}
