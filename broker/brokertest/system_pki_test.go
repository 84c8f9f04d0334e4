package brokertest_test

import (
	"net"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// pki is the CA of the web doors, and their certificate on disk.
type pki struct {
	*stack.Authority
	cert, key string
}

func newPKI(t *testing.T, dir string) *pki {
	t.Helper()
	p := &pki{stack.NewAuthority(t), filepath.Join(dir, "web.pem"), filepath.Join(dir, "web-key.pem")}
	must(t, p.Issue(p.cert, p.key, "127.0.0.1"))
	return p
}

// collector takes the traces of all processes as they are on the wire, since what is looked for in them
// is bytes.
type collector struct {
	address string

	mu    sync.Mutex
	bytes []byte
}

// bytesCodec hands messages on as they are.
type bytesCodec struct{}

// Marshal implements encoding.CodecV2.
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2.
func (bytesCodec) Name() string { return "proto" }

func newCollector(t *testing.T) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &collector{address: l.Addr().String()}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(bytesCodec{}), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		var message []byte
		if err := ss.RecvMsg(&message); err != nil {
			return err
		}
		c.mu.Lock()
		c.bytes = append(c.bytes, message...)
		c.mu.Unlock()
		return ss.SendMsg(&[]byte{})
	}))
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return c
}

func (c *collector) received() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.bytes...)
}
