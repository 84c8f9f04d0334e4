package vault

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"net/url"
	"testing"
)

// FuzzFieldSurvives writes any bytes and reads them back, through JSON that Vault decodes and encodes.
func FuzzFieldSurvives(f *testing.F) {
	for _, seed := range []string{"", "text", "\x00\xff", "<&>", "\u2028", `{"base64":"AA=="}`, "\x00\x00\x00\x00\x00\x00\x00\x00", "null", "12"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := encodeField(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 2*len(b)+20 {
			t.Errorf("%d bytes take %d in Vault", len(b), len(text))
		}
		var theirs any
		if err := json.Unmarshal(text, &theirs); err != nil {
			t.Fatal(err)
		}
		stored, err := json.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		var back field
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Reveal(), b) {
			t.Errorf("wrote %q, stored %s, read %q", b, stored, back.Reveal())
		}
	})
}

// FuzzAnswerIsReadOrRefused reads any answer: what is read at all is read whole.
func FuzzAnswerIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"data":{"k":"v"},"metadata":{"version":1,"created_time":"2026-01-02T03:04:05.678Z","deletion_time":"","destroyed":false}}}`,
		`{"data":{"data":null,"metadata":{"version":3,"deletion_time":"2026-01-02T03:04:05Z"}}}`,
		`{"data":{"data":{"a":null,"b":1,"c":[{}],"d":{"base64":"AA=="}},"metadata":{"version":18446744073709551615}}}`,
		`{"data":null}`, `[]`, `{"data":{"data":{"k":{"base64":"?"}}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var a dataAnswer
		if json.Unmarshal(b, &a) != nil {
			return
		}
		if c := a.credential("n"); c.Version != a.Data.Metadata.Version || len(c.Fields) != len(a.Data.Data) {
			t.Errorf("read version %d with %d of %d fields", c.Version, len(c.Fields), len(a.Data.Data))
		}
	})
}

// FuzzPlaintextStaysOnTheMachine accepts http for loopback alone, in whatever way an address is spelled.
func FuzzPlaintextStaysOnTheMachine(f *testing.F) {
	for _, seed := range []string{
		"https://v:8200", "http://127.0.0.1", "http://[::1]:8200", "http://[::ffff:127.0.0.1]", "http://localhost", "http://localhost.evil",
		"http://127.1", "http://0177.0.0.1", "HTTP://v", "http://a@127.0.0.1", "http://127.0.0.1%2eevil", "http://[fe80::1%25lo]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if (Config{Address: address}).checkAddress() != nil {
			return
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		ip, _ := netip.ParseAddr(u.Hostname())
		if u.Scheme != "https" && u.Hostname() != "localhost" && !ip.Unmap().IsLoopback() {
			t.Errorf("accepted %q", address)
		}
	})
}
