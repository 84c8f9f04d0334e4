package upstream

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

func frame(head string, length int) []byte {
	return append([]byte(head), bytes.Repeat([]byte{0x88}, length)...) // 0x88 would begin a Close frame
}

// TestFrames: each length and the mask, byte by byte; between two frames is where one has ended, and nowhere else.
func TestFrames(t *testing.T) {
	for name, c := range map[string]struct {
		frame  []byte
		closed bool
	}{
		"empty":        {frame("\x81\x00", 0), false},
		"short":        {frame("\x81\x7d", 125), false},
		"16 bits":      {frame("\x82\x7e\x01\x00", 256), false},
		"64 bits":      {frame("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 65536), false},
		"masked":       {frame("\x81\x83mask", 3), false},
		"masked, 16":   {frame("\x81\xfe\x00\x7emask", 126), false},
		"a fragment":   {frame("\x01\x03", 3), false},
		"ping":         {frame("\x89\x02", 2), false},
		"close":        {frame("\x88\x02", 2), true},
		"close, empty": {frame("\x88\x00", 0), true},
	} {
		var f frames
		for i, b := range c.frame {
			if i > 0 && f.between() {
				t.Errorf("%s: between two frames after %d of %d bytes", name, i, len(c.frame))
			}
			f.follow([]byte{b})
		}
		if !f.between() || f.closed != c.closed {
			t.Errorf("%s: between %t, closed %t", name, f.between(), f.closed)
		}
	}
}

// FuzzFrames: it is the same in how many pieces the bytes come.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame("\x81\x7e\x00\x7e", 126), frame("\x88\x02", 2)...), uint8(3))
	f.Add([]byte("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffmask"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		var whole, pieces frames
		whole.follow(data)
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			pieces.follow(rest[:n])
			rest = rest[n:]
		}
		if whole.between() != pieces.between() || whole.closed != pieces.closed || whole.left != pieces.left || len(whole.head) > 14 {
			t.Errorf("%+v, %+v", whole, pieces)
		}
		// The frame of ours is one.
		var ours frames
		if ours.follow(closeFrame(4401, "session_expired")); !ours.between() || !ours.closed {
			t.Errorf("%+v", ours)
		}
	})
}

// wire keeps what is written to it.
type wire struct {
	net.Conn
	written bytes.Buffer
	closed  bool
}

func (w *wire) Write(p []byte) (int, error)      { return w.written.Write(p) }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) Close() error                     { w.closed = true; return nil }

// TestSocketIsTold why it ends, where a frame can stand, once, and only when it is we who end it.
func TestSocketIsTold(t *testing.T) {
	over := fault.New(fault.Unauthenticated, "session_expired", "x")
	told := string(closeFrame(4401, "session_expired"))
	for name, c := range map[string]struct {
		sent  []byte
		why   error
		after string
	}{
		"between two":          {frame("\x81\x02", 2), over, told},
		"before the first":     {nil, over, told},
		"in the middle of one": {frame("\x81\x05", 2), over, ""},
		"in a head":            {[]byte("\x81"), over, ""},
		"after a close":        {frame("\x88\x02", 2), over, ""},
		"the service ended":    {frame("\x81\x02", 2), nil, ""},
		"the network failed":   {frame("\x81\x02", 2), io.ErrUnexpectedEOF, ""},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		w := &wire{}
		s := &socket{Conn: w, call: &call{Context: ctx}}
		_, _ = s.Write(c.sent)
		if c.why != nil {
			cancel(c.why)
		}
		_ = s.Close()
		cancel(nil)
		if got := w.written.String()[len(c.sent):]; got != c.after || !w.closed {
			t.Errorf("%s: %q, closed %t", name, got, w.closed)
		}
	}
}
