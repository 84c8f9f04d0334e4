package strict_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/intercom-broker/intercom/broker/strict"
)

// FuzzEveryRefusalHasAPlace holds that whatever a file contains, it is read or refused at a place that it has.
func FuzzEveryRefusalHasAPlace(f *testing.F) {
	for _, seed := range []string{
		"", "name: a\n", "nmae: a\n", "teams:\n  blue: { lead: a, vend: { ttl: 1 } }\n", "a: &a [*a]\n", "? [a]\n: b\n",
		"<<: {}\n", "name: !!binary x\n", "a\n---\nb\n", "\tx", "name: \x01", "\xff\xfe", "\xef\xbb\xbfname: a\n", "{", "- - - -", "%YAML 9.9\n---\na",
		"issuer: a:b@c\nkey: [x]\nlimit: 9GiB\nnets: [::/0]\naudit: { sync: sometimes }\n", "name: |\n  a\n b\n", "\r\n\r\nname: 1\r\n", "name: \u2028x\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c config
		err := strict.Decode("f", data, &c)
		if err == nil {
			return
		}
		errs, ok := errors.AsType[strict.Errors](err)
		if !ok || len(errs) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		// YAML 1.1 knows five line breaks. CRLF is one of them here and two in this bound.
		most := 1
		for _, b := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			most += bytes.Count(data, []byte(b))
		}
		for _, e := range errs {
			if e.File != "f" || e.Line < 1 || e.Column < 1 || e.Line > most || e.Message == "" {
				t.Errorf("no place: %+v in %q", e, data)
			}
		}
	})
}
