package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
)

// digest is a link of the chain: a SHA-256 in lower-case hex, as it stands in the file.
type digest [2 * sha256.Size]byte

// origin is what the first entry follows.
func origin() (d digest) {
	for i := range d {
		d[i] = '0'
	}
	return d
}

func (d digest) String() string { return string(d[:]) }

// chain is a place in the log: the last entry's number and hash.
type chain struct {
	seq  uint64
	hash digest
	sha  hash.Hash // kept to spare an allocation for each entry
}

func newChain(seq uint64, last digest) chain { return chain{seq: seq, hash: last, sha: sha256.New()} }

// next returns the hash of an entry with that body when it follows c.
func (c *chain) next(body []byte) (d digest) {
	var sum [sha256.Size]byte
	c.sha.Reset()
	c.sha.Write(c.hash[:])
	c.sha.Write(body)
	hex.Encode(d[:], c.sha.Sum(sum[:0]))
	return d
}

// The two ends of a line. The tail has a fixed length, so that a line is taken apart without parsing it.
const (
	lineStart = `{"seq":`
	hashStart = `,"hash":"`
	lineEnd   = `"}`
	tailLen   = len(hashStart) + len(digest{}) + len(lineEnd)
)

// add appends the line of an entry with these fields to out and moves c on to it.
func (c *chain) add(out []byte, f fields) []byte {
	start := len(out)
	c.seq++
	out = append(out, lineStart...)
	out = strconv.AppendUint(out, c.seq, 10)
	out = append(out, ',')
	out = append(out, f...)
	c.hash = c.next(out[start:])
	out = append(out, hashStart...)
	out = append(out, c.hash[:]...)
	out = append(out, lineEnd...)
	return append(out, '\n')
}

// split takes a line, without its newline, apart.
func split(line []byte) (body []byte, d digest, ok bool) {
	at := len(line) - tailLen
	if at < len(lineStart) || !bytes.HasPrefix(line, []byte(lineStart)) {
		return nil, d, false
	}
	tail, found := bytes.CutPrefix(line[at:], []byte(hashStart))
	if !found || !bytes.HasSuffix(tail, []byte(lineEnd)) {
		return nil, d, false
	}
	copy(d[:], tail)
	return line[:at], d, true
}

// follow moves c on to the entry on line and reports whether it follows c.
func (c *chain) follow(line []byte) bool {
	body, d, ok := split(line)
	if !ok || c.next(body) != d {
		return false
	}
	c.seq, c.hash = c.seq+1, d
	return true
}
