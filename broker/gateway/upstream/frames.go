package upstream

import "encoding/binary"

// frames follows what a service sends over a WebSocket by the heads of its frames (RFC 6455, section 5.2), so that
// it is known where one ends: only there a frame of ours can stand. What is in them is nobody's business here.
type frames struct {
	head   []byte // of the frame that has begun; empty between two
	left   uint64 // of its payload
	closed bool   // the service has said that it closes
}

// between reports whether a frame has ended and none has begun.
func (f *frames) between() bool { return len(f.head) == 0 && f.left == 0 }

// follow is told of each byte, in order.
func (f *frames) follow(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(uint64(len(p)), f.left)
			f.left -= n
			p = p[n:]
			continue
		}
		f.head = append(f.head, p[0])
		p = p[1:]
		if len(f.head) >= 2 && len(f.head) == headLength(f.head[1]) {
			f.closed = f.closed || f.head[0]&0x0f == opClose
			f.left = payload(f.head)
			f.head = f.head[:0]
		}
	}
}

const (
	opClose    = 0x8
	masked     = 0x80
	maskLength = 4
)

// headLength is how many bytes a head has by its second one.
func headLength(second byte) int {
	n := 2
	switch second &^ masked {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if second&masked != 0 {
		n += maskLength
	}
	return n
}

// payload is the length that a whole head says.
func payload(head []byte) uint64 {
	switch n := head[1] &^ masked; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		return binary.BigEndian.Uint64(head[2:])
	default:
		return uint64(n)
	}
}

// closeFrame is a Close frame of a server (RFC 6455, section 5.5.1). The reason has at most 123 bytes.
func closeFrame(code uint16, reason string) []byte {
	frame := []byte{0x80 | opClose, byte(2 + len(reason)), byte(code >> 8), byte(code)}
	return append(frame, reason...)
}
