package credentialtest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// bytes writes names and values that a store with a text format of its own is tempted to change.
func (s *suite) bytes() {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	fields := credential.Fields{
		"every byte": secret.New(all), "empty": {}, "nul": secret.FromString("\x00"), "lines": secret.FromString("a\r\nb\n"),
		"not utf-8": secret.FromString("\xff\xfe"), "placeholder": secret.FromString(secret.Redacted),
		"base64": secret.FromString("base64:aGVsbG8="), "json": secret.FromString(`{"a":"\u0000"}`),
		"password": secret.FromString("пароль 密码 🔑"), "Password": secret.FromString("other case"),
		"пароль": secret.FromString("1"), "密码/🔑": secret.FromString("2"), `"quoted\`: secret.FromString("3"),
		"data": secret.FromString("4"), "metadata": secret.FromString("5"), ".": secret.FromString("6"),
		"é": secret.FromString("composed"), "e\u0301": secret.FromString("combining"),
	}
	s.write("odd/fields", fields)
	got := s.read("odd/fields").Fields
	for name, want := range fields {
		if value, ok := got[name]; !ok || !value.Equal(want) {
			s.Errorf("field %q came back changed, or not at all (there: %t)", name, ok)
		}
	}
	if len(got) != len(fields) {
		s.Errorf("wrote %q, read %q", fields.Names(), got.Names())
	}
}

// copies changes the maps that went in and came out: the store must have its own.
func (s *suite) copies() {
	in := password("one")
	s.write("crm/login", in)
	in["password"], in["more"] = secret.FromString("changed"), secret.FromString("x")
	out := s.read("crm/login")
	if !out.Fields.Equal(password("one")) {
		s.Error("the store keeps the map that Write was given")
	}
	out.Fields["password"] = secret.FromString("changed")
	if !s.read("crm/login").Fields.Equal(password("one")) {
		s.Error("the store gives its own map away")
	}
}

func (s *suite) limits() {
	many := credential.Fields{}
	for i := range credential.MaxFields {
		many[fmt.Sprintf("field-%02d", i)] = secret.FromString("x")
	}
	long := strings.Repeat("n", credential.MaxFieldLen)
	big := credential.Fields{"v": secret.New(make([]byte, credential.MaxBytes-1))}
	longest := credential.Name(strings.Repeat("segments/", 28) + "end")
	s.write(longest, many)
	s.write("big/one", big)
	s.write("long/field", credential.Fields{long: secret.FromString("x")})
	if got := s.read("big/one"); !got.Fields.Equal(big) {
		s.Error("the largest credential came back changed")
	}
	many["one more"] = secret.FromString("x")
	for what, fields := range map[string]credential.Fields{
		"too many fields": many, "too many bytes": {"vv": secret.New(make([]byte, credential.MaxBytes-1))},
		"a field's name too long": {long + "n": secret.FromString("x")}, "no fields": {}, "nil": nil,
		"a field without a name": {"": secret.FromString("x")}, "a name that is not UTF-8": {"\xff": secret.FromString("x")},
		"a name with a line break": {"a\nb": secret.FromString("x")},
	} {
		if _, err := s.store.Write(s.Context(), "over/limit", fields); !errors.Is(err, fault.TooLarge) && !errors.Is(err, fault.InvalidRequest) {
			s.Errorf("%s: %v", what, err)
		}
	}
	s.wantUnknown("over/limit")
}

// names uses names that no ParseName returned; some would leave the store's place where it is reached by
// URL or by path.
func (s *suite) names() {
	s.write("crm/login", password("one"))
	for _, name := range []credential.Name{
		"", "/", "/crm/login", "crm/login/", "crm//login", ".", "..", "../crm/login", "crm/../crm/login", "crm/./login",
		"CRM/login", "crm\\login", "crm/login?version=1", "crm/login#x", "crm%2flogin", "crm/lo gin", "crm/login\x00", "crm/löwe",
		credential.Name(strings.Repeat("a", credential.MaxNameLen+1)),
	} {
		_, readErr := s.store.Read(s.Context(), name)
		_, writeErr := s.store.Write(s.Context(), name, password("x"))
		for what, err := range map[string]error{"Read": readErr, "Write": writeErr, "Delete": s.store.Delete(s.Context(), name)} {
			if !errors.Is(err, fault.InvalidRequest) {
				s.Errorf("%s(%q): %v", what, name, err)
			}
		}
		if _, err := s.store.List(s.Context(), name); name != "" && !errors.Is(err, fault.InvalidRequest) {
			s.Errorf("List(%q): %v", name, err)
		}
	}
	s.wantList("", "crm/login")
}

const (
	writers = 4
	writes  = 8
)

// writersOfOne lets writers race for one name: each write is a version of its own, and none is lost.
func (s *suite) writersOfOne() {
	var mu sync.Mutex
	seen := map[uint64]string{}
	s.race(func(writer, n int) {
		value := fmt.Sprintf("%d of %d", n, writer)
		version, err := s.store.Write(s.Context(), "crm/login", password(value))
		if err != nil {
			s.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if other, taken := seen[version]; taken {
			s.Errorf("version %d is %q and %q", version, other, value)
		}
		seen[version] = value
	})
	last := s.read("crm/login")
	if last.Version != writers*writes || !last.Fields.Equal(password(seen[last.Version])) {
		s.Errorf("after %d writes the latest version is %d, with the bytes that were written as such: %t",
			writers*writes, last.Version, last.Fields.Equal(password(seen[last.Version])))
	}
}

func (s *suite) writersOfMany() {
	s.race(func(writer, n int) {
		name := credential.Name(fmt.Sprintf("writer-%d/name-%d", writer, n))
		if _, err := s.store.Write(s.Context(), name, password(string(name))); err != nil {
			s.Error(err)
		}
	})
	names, err := s.store.List(s.Context(), "")
	if err != nil || len(names) != writers*writes {
		s.Errorf("wrote %d names, found %d: %v", writers*writes, len(names), err)
	}
	for _, name := range names {
		if !s.read(name).Fields.Equal(password(string(name))) {
			s.Errorf("%s holds what was written under another name", name)
		}
	}
}

func (s *suite) race(write func(writer, n int)) {
	var wg sync.WaitGroup
	for writer := range writers {
		wg.Go(func() {
			for n := range writes {
				write(writer, n)
			}
		})
	}
	wg.Wait()
}

// silent makes writes fail and looks for the planted value in every form of the error.
func (s *suite) silent() {
	const planted = "pl4nted-s3cret"
	value := secret.FromString(strings.Repeat(planted, 1+credential.MaxBytes/len(planted)))
	for what, try := range map[string]func() error{
		"too large": func() error {
			_, err := s.store.Write(s.Context(), "crm/login", credential.Fields{"password": value})
			return err
		},
		"a bad field": func() error {
			_, err := s.store.Write(s.Context(), "crm/login", credential.Fields{"password": secret.FromString(planted), "": {}})
			return err
		},
		"a bad name": func() error { _, err := s.store.Write(s.Context(), "../x", password(planted)); return err },
	} {
		err := try()
		if err == nil {
			s.Errorf("%s: no error", what)
		}
		if text := fmt.Sprintf("%v %+v %q %#v", err, err, err, err); strings.Contains(text, planted) {
			s.Errorf("%s: the error holds the value", what)
		}
	}
}
