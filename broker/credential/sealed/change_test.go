package sealed

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/secret"
)

// fixture is a sealed file with its sealer, the same bytes in every run so that the fuzz corpus lasts.
func fixture(t testing.TB) ([]byte, sealer) {
	t.Helper()
	s, err := newSealer(secret.New([]byte("0123456789abcdef0123456789ABCDEF")))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "format1.sealed")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file, s
}

// TestFormat1IsReadForever holds the format: what an older version wrote must open.
func TestFormat1IsReadForever(t *testing.T) {
	file, s := fixture(t)
	text, err := s.open(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.read("crm/login")
	if err != nil || c.Version != 2 || !c.Fields.Equal(credential.Fields{"username": secret.FromString("intercom"), "password": secret.FromString("\x00\xff")}) {
		t.Errorf("%v, %v", c, err)
	}
}

// TestNoChangedByteIsAccepted changes every byte in every bit, and cuts the file everywhere.
func TestNoChangedByteIsAccepted(t *testing.T) {
	file, s := fixture(t)
	for i := range file {
		for bit := range 8 {
			changed := bytes.Clone(file)
			changed[i] ^= 1 << bit
			if _, err := s.open(changed); err == nil {
				t.Fatalf("byte %d with bit %d changed was accepted", i, bit)
			}
		}
		if _, err := s.open(file[:i]); err == nil {
			t.Fatalf("the first %d bytes were accepted", i)
		}
	}
}

// FuzzOpenRefusesChange: whatever is not the file that was sealed is refused, and nothing panics.
func FuzzOpenRefusesChange(f *testing.F) {
	file, s := fixture(f)
	f.Add(file)
	f.Add(file[:headerBytes])
	f.Add([]byte(magic))
	f.Add(append(bytes.Clone(file), file...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := s.open(data); (err == nil) != bytes.Equal(data, file) {
			t.Errorf("accepted: %t, changed: %t", err == nil, !bytes.Equal(data, file))
		}
	})
}

// FuzzDecode: a document that decodes is one that the store can work on, and survives being written.
func FuzzDecode(f *testing.F) {
	file, s := fixture(f)
	text, err := s.open(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"serial":1,"credentials":{"a":{"last":1}}}`))
	f.Add([]byte(`{"credentials":{"../a":{"last":1,"versions":[{"number":1,"fields":{"x":"eA=="}}]}}}`))
	f.Add([]byte(`{"credentials":{"a":{"last":3,"versions":[{"number":2},{"number":1}]}}}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decode(data)
		if err != nil {
			return
		}
		d = d.write("a/b", credential.Fields{"x": secret.FromString("y")}, 2, time.Unix(0, 0)).remove("a/b", time.Unix(1, 0))
		again, err := d.encode()
		if err != nil {
			return // a year that JSON has no form for
		}
		e, err := decode(again)
		if err != nil {
			t.Fatalf("%s does not decode: %v", again, err)
		}
		for _, name := range e.names("") {
			if c, err := e.read(name); err != nil || c.Version == 0 && len(c.Fields) > 0 && e.Credentials[name].Last != 0 {
				t.Errorf("%s: %v %v", name, c, err)
			}
		}
	})
}

func TestDisorderIsRefused(t *testing.T) {
	for _, text := range []string{
		``, `[]`, `{"credentials":{"../a":{"last":1}}}`, `{"credentials":{"A":{"last":1}}}`,
		`{"credentials":{"a":{"last":1,"versions":[{"number":2},{"number":1}]}}}`,
		`{"credentials":{"a":{"last":3,"versions":[{"number":2}]}}}`,
		`{"credentials":{"a":{"last":1,"versions":[{"number":1,"fields":{"x":"!!!"}}]}}}`,
	} {
		if _, err := decode([]byte(text)); err == nil || strings.Contains(err.Error(), "!!!") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestDocumentsDoNotChange: two changes of one document leave it and each other alone.
func TestDocumentsDoNotChange(t *testing.T) {
	base, now := &document{}, time.Now()
	for range 3 {
		base = base.write("a", credential.Fields{"x": secret.FromString("base")}, 10, now)
	}
	one := base.write("a", credential.Fields{"x": secret.FromString("one")}, 10, now)
	two := base.write("a", credential.Fields{"x": secret.FromString("two")}, 10, now)
	gone := base.remove("a", now)
	for want, d := range map[string]*document{"base": base, "one": one, "two": two} {
		if c, err := d.read("a"); err != nil || string(c.Fields["x"].Reveal()) != want {
			t.Errorf("%s holds something else, %v", want, err)
		}
	}
	if _, err := gone.read("a"); err == nil {
		t.Error("what was removed is there")
	}
}

func TestForgottenNamesAreBounded(t *testing.T) {
	d, start := &document{}, time.Now()
	for i := range maxForgotten + 10 {
		name := credential.Name(fmt.Sprintf("name/%d", i))
		now := start.Add(time.Duration(i) * time.Second)
		d = d.write(name, credential.Fields{"x": secret.FromString("y")}, 10, now).remove(name, now)
	}
	_, first := d.Credentials["name/9"]
	_, next := d.Credentials["name/10"]
	if len(d.Credentials) != maxForgotten || first || !next {
		t.Errorf("%d names are remembered; of those before the bound: %t, after: %t", len(d.Credentials), first, next)
	}
}

// TestGoingBackIsLogged puts an older file back under a running store.
func TestGoingBackIsLogged(t *testing.T) {
	var log bytes.Buffer
	s, err := Open(Config{Path: filepath.Join(t.TempDir(), "f"), Key: NewKey(), Poll: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	write := func(value string) {
		if _, err := s.Write(t.Context(), "a", credential.Fields{"x": secret.FromString(value)}); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	old, err := os.ReadFile(s.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	write("two")
	if err := os.WriteFile(s.cfg.Path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := s.Read(t.Context(), "a")
	if err != nil || c.Version != 1 || !strings.Contains(log.String(), "went back") {
		t.Errorf("version %d, %v; log:\n%s", c.Version, err, &log)
	}
}

// TestFullStoreIsRefused: more than the file may hold is refused before anything is written.
func TestFullStoreIsRefused(t *testing.T) {
	_, s := fixture(t)
	if _, err := s.seal(make([]byte, maxFile-headerBytes)); err == nil {
		t.Error("sealed a file that readers refuse")
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := Open(Config{Path: filepath.Join(b.TempDir(), "f"), Key: NewKey()})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Write(b.Context(), "a", credential.Fields{"x": secret.FromString("y")}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, names := range []int{1, 1000} {
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			s, err := Open(Config{Path: filepath.Join(b.TempDir(), "f"), Key: NewKey()})
			if err != nil {
				b.Fatal(err)
			}
			d := &document{}
			for i := range names {
				d = d.write(credential.Name(fmt.Sprintf("name/%d", i)), credential.Fields{"x": secret.FromString("y")}, 10, time.Now())
			}
			if err := s.save(d, s.seal); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Write(b.Context(), "name/0", credential.Fields{"x": secret.FromString("y")}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
