package stack

import (
	"context"
	bigendian "encoding/binary"
	"io"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// TestDomain is the domain of tests: the names below it are this machine, for whoever was told so ([ResolveNames],
// Keycloak). A browser is told by --host-resolver-rules. The top-level domain is reserved (RFC 6761, section 6.2).
const TestDomain = "intercom.test"

// Hosts are names below [TestDomain] that Keycloak knows too; Java's file of hosts has no wildcards.
func Hosts() []string {
	return []string{"app." + TestDomain, "icom." + TestDomain, "portal." + TestDomain, "evil." + TestDomain, "id." + TestDomain, "localhost"}
}

const hostsFile = "hosts"

func hosts() string { return "127.0.0.1 " + strings.Join(Hosts(), " ") + "\n" }

// ResolveNames lets this process find names below [TestDomain] and [ForeignDomain] on 127.0.0.1, and no other name but those of the
// machine's own file. Call it from TestMain: it replaces the resolver of all that dials.
func ResolveNames() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		// Over what is no packet connection the resolver speaks as over TCP (RFC 1035, section 4.2.2).
		ours, theirs := net.Pipe()
		go func() {
			defer ours.Close()
			_ = answerName(ours)
		}()
		return theirs, nil
	}}
}

func answerName(conn net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return err
	}
	query := make([]byte, bigendian.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return err
	}
	reply, err := nameReply(m).Pack()
	if err != nil {
		return err
	}
	_, err = conn.Write(append(bigendian.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}

func nameReply(q dnsmessage.Message) *dnsmessage.Message {
	a := &dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true, RCode: dnsmessage.RCodeNameError}, Questions: q.Questions}
	for _, question := range q.Questions {
		name := question.Name.String()
		if !strings.HasSuffix(name, "."+TestDomain+".") && !strings.HasSuffix(name, "."+ForeignDomain+".") {
			continue
		}
		if a.RCode = dnsmessage.RCodeSuccess; question.Type == dnsmessage.TypeA {
			a.Answers = append(a.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			})
		}
	}
	return a
}
