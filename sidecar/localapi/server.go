package localapi

import (
	"log"
	"net/http"
	"time"
)

// NewServer returns a server for the door: HTTP/1.1, and HTTP/2 without TLS for those who begin with it
// (gRPC). The application beside us is bounded as anybody else is.
func NewServer(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 256},
		ErrorLog:          log.New(discard{}, "", 0),
	}
}
