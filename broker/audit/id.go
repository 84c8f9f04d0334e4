package audit

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// idPrefix tells a decision id from all the other ids that an operator meets.
const idPrefix = "d-"

// NewID returns a new decision id: "d-" and a UUID of version 7 (RFC 9562, section 5.7). Its first 60
// bits are the time in steps of a quarter of a microsecond (method 3 of section 6.2), so that ids sort as
// the decisions were made and [Find] knows where to look; 62 bits are random. An id is a name, not a
// secret: knowing it lets nobody do anything.
func NewID() string { return newID(time.Now()) }

func newID(now time.Time) string {
	var u [16]byte
	_, _ = rand.Read(u[8:]) // never fails (crypto/rand)
	ms := now.UnixMilli()
	part := uint64(now.Sub(time.UnixMilli(ms))) << 12 / uint64(time.Millisecond)
	binary.BigEndian.PutUint64(u[:8], uint64(ms)<<16|7<<12|part)
	u[8] = u[8]&0x3f | 0x80

	b := make([]byte, 0, len(idPrefix)+36)
	b = append(b, idPrefix...)
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, []byte{c})
	}
	return string(b)
}

// timeOf returns when id was made, and false when it is not one of ours.
func timeOf(id string) (time.Time, bool) {
	text, ours := strings.CutPrefix(id, idPrefix)
	u, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if !ours || err != nil || len(u) != 16 || u[6]>>4 != 7 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(u) >> 16)), true
}
