package mtls

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
)

// ClientCredentials returns gRPC credentials over a configuration of [Client]. Connections end at the
// server's notAfter; before that a server of this package asks them to go.
func ClientCredentials(cfg *tls.Config) credentials.TransportCredentials {
	return clientCredentials{credentials.NewTLS(cfg)}
}

type clientCredentials struct {
	credentials.TransportCredentials
}

// ClientHandshake implements credentials.TransportCredentials.
func (c clientCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	life := &lifeConn{Conn: raw}
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, life)
	if err != nil {
		return nil, nil, err
	}
	if of, ok := info.(credentials.TLSInfo); ok && len(of.State.PeerCertificates) > 0 {
		life.live(time.Now(), of.State.PeerCertificates[0].NotAfter, time.Time{}, func() {})
	}
	return conn, info, nil
}

// Clone implements credentials.TransportCredentials.
func (c clientCredentials) Clone() credentials.TransportCredentials {
	return clientCredentials{c.TransportCredentials.Clone()}
}
