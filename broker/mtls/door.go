package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config is how a door treats its connections.
type Config struct {
	// Name is the door's name in logs and metrics, such as "mesh"; empty means "mtls".
	Name string
	// TLS is one of this package's server configurations; required.
	TLS *tls.Config
	// HandshakeTimeout ends a handshake that takes longer; 0 means 10 s.
	HandshakeTimeout time.Duration
	// Handshakes is how many run at the same time, the others wait; 0 means 1 024.
	Handshakes int
	// MaxConns is how many connections are open at the same time, more are closed at once; 0 means 10 000.
	MaxConns int
	// Grace is how long the drain of ServeGRPC waits for calls in flight; 0 means 10 s.
	Grace time.Duration
	// Updated returns a channel that is closed at the next change of the bundles, as svid.Source.Updated
	// does: open connections are then verified again, and those of a domain whose bundle or authority is
	// gone are cut. Nil means that they live on until notAfter.
	Updated func() <-chan struct{}
	// Logger is told, at a bounded rate, who was refused; nil means nobody is.
	Logger *slog.Logger
	// Metrics counts connections and refusals; nil means nobody does.
	Metrics *Metrics
}

const (
	handshakeTimeout = 10 * time.Second
	defaultGrace     = 10 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "mtls"
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = handshakeTimeout
	}
	if c.Handshakes == 0 {
		c.Handshakes = 1024
	}
	if c.MaxConns == 0 {
		c.MaxConns = 10_000
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// door is a listener that hands out connections only after their handshake, so that one peer that says
// nothing keeps nobody waiting.
type door struct {
	net.Listener
	cfg      Config
	report   *reporter
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	slots    chan struct{}  // one for each running handshake
	admitted sync.WaitGroup // those whose handshake runs, or who wait for Accept
	verified chan *tls.Conn
	open     atomic.Int64

	mu    sync.Mutex
	peers map[*lifeConn]tls.ConnectionState // open connections of peers that have an SVID
}

func newDoor(l net.Listener, cfg Config) *door {
	d := &door{
		Listener: l, cfg: cfg, report: newReporter(cfg),
		slots: make(chan struct{}, cfg.Handshakes), verified: make(chan *tls.Conn),
		peers: map[*lifeConn]tls.ConnectionState{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	go d.run()
	if cfg.Updated != nil {
		go d.watch(cfg.Updated())
	}
	return d
}

// Accept implements net.Listener; the connection is a verified *tls.Conn.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.verified:
		return c, nil
	case <-d.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were handed out stay open.
func (d *door) Close() error {
	d.cancel()
	return d.Listener.Close()
}

// run accepts until the listener below or the door is closed. Only the door's own end is one for those who are shaking
// hands: whoever closes the listener below lets nobody new in.
func (d *door) run() {
	defer d.cancel()
	defer d.admitted.Wait()
	for {
		select {
		case d.slots <- struct{}{}:
		case <-d.ctx.Done():
			return
		}
		raw, err := d.Listener.Accept()
		switch {
		case err == nil:
			d.admit(raw)
		case errors.Is(err, net.ErrClosed) || d.ctx.Err() != nil:
			return
		default:
			<-d.slots
			d.pause(err)
		}
	}
}

// pause waits before the next Accept: it fails in a row when the process is out of descriptors, and
// works again once some are closed.
func (d *door) pause(err error) {
	d.cfg.Logger.Error("accepting a connection failed", "door", d.cfg.Name, "error", err)
	select {
	case <-time.After(100 * time.Millisecond):
	case <-d.ctx.Done():
	}
}

// admit takes over raw and the slot that run took for it.
func (d *door) admit(raw net.Conn) {
	if n := d.open.Add(1); n > int64(d.cfg.MaxConns) {
		d.open.Add(-1)
		<-d.slots
		d.report.refused(raw.RemoteAddr(), &refusal{reason: overLimit, err: fmt.Errorf("%d connections are open", d.cfg.MaxConns)})
		_ = raw.Close()
		return
	}
	d.cfg.Metrics.opened(d.cfg.Name, 1)
	conn := &lifeConn{Conn: raw}
	conn.closed = func() { d.forget(conn) }
	d.admitted.Go(func() { d.handshake(conn) })
}

func (d *door) forget(conn *lifeConn) {
	d.open.Add(-1)
	d.cfg.Metrics.opened(d.cfg.Name, -1)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.peers, conn)
}

func (d *door) handshake(conn *lifeConn) {
	secure := tls.Server(conn, d.cfg.TLS)
	err := d.shake(secure)
	<-d.slots
	if err != nil {
		d.report.refused(conn.RemoteAddr(), err)
		_ = conn.Close()
		return
	}
	d.cfg.Metrics.shook(d.cfg.Name)
	d.begin(conn, secure.ConnectionState())
	select {
	case d.verified <- secure:
	case <-d.ctx.Done():
		_ = conn.Close()
	}
}

func (d *door) shake(secure *tls.Conn) error {
	ctx, cancel := context.WithTimeout(d.ctx, d.cfg.HandshakeTimeout)
	defer cancel()
	return secure.HandshakeContext(ctx)
}

// begin starts the life of a connection whose peer has an SVID.
func (d *door) begin(conn *lifeConn, state tls.ConnectionState) {
	if len(state.PeerCertificates) == 0 {
		return
	}
	d.mu.Lock()
	d.peers[conn] = state
	d.mu.Unlock()
	conn.live(time.Now(), state.PeerCertificates[0].NotAfter, d.ownNotAfter(), func() { d.cfg.Metrics.expired(d.cfg.Name) })
}

// watch verifies the open connections again after each change.
func (d *door) watch(changed <-chan struct{}) {
	for {
		select {
		case <-changed:
		case <-d.ctx.Done():
			return
		}
		changed = d.cfg.Updated() // before the look, so that no change falls between
		d.recheck()
	}
}

func (d *door) recheck() {
	d.mu.Lock()
	peers := maps.Clone(d.peers)
	d.mu.Unlock()
	for conn, state := range peers {
		if err := d.cfg.TLS.VerifyConnection(state); err != nil {
			d.cfg.Metrics.revoked(d.cfg.Name)
			d.report.log("connection cut", conn.RemoteAddr(), asRefusal(err))
			_ = conn.Close()
		}
	}
}

// ownNotAfter is when our certificate ends. A rotation between the handshake and this call makes it
// later than the one that was shown by what is left of that one's life: half of it, by all that rotate.
func (d *door) ownNotAfter() time.Time {
	cert, err := d.cfg.TLS.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || cert.Leaf == nil {
		return time.Time{}
	}
	return cert.Leaf.NotAfter
}
