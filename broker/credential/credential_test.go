package credential_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// TestParseNameSweepsAllBytes puts each of the 256 bytes into the middle of a name.
func TestParseNameSweepsAllBytes(t *testing.T) {
	const good = "abcdefghijklmnopqrstuvwxyz0123456789._-/"
	for b := range 256 {
		name := "a" + string([]byte{byte(b)}) + "b"
		got, err := credential.ParseName(name)
		if want := strings.IndexByte(good, byte(b)) >= 0; (err == nil) != want || want && string(got) != name {
			t.Errorf("%q: %q, %v; want it accepted: %t", name, got, err, want)
		}
	}
}

func TestParseName(t *testing.T) {
	for name, want := range map[string]bool{
		"crm": true, "crm/login": true, "a/b/c/d": true, "..a": true, "a..": true, "...": true, "-": true,
		strings.Repeat("a", 255): true, strings.Repeat("a", 256): false,
		"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "a/..": false, "../a": false,
		"a/./b": false, "Crm": false,
	} {
		_, err := credential.ParseName(name)
		if (err == nil) != want {
			t.Errorf("%q: %v; want it accepted: %t", name, err, want)
		}
		if err != nil && !errors.Is(err, fault.InvalidRequest) {
			t.Errorf("%q: %v is not an invalid request", name, err)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		name, prefix credential.Name
		want         bool
	}{
		{"crm/login", "", true},
		{"crm/login", "crm", true},
		{"crm/login", "crm/login", true},
		{"crmx", "crm", false},
		{"crm", "crm/login", false},
	} {
		if got := c.name.Within(c.prefix); got != c.want {
			t.Errorf("%s within %q: %t", c.name, c.prefix, got)
		}
	}
}

func TestUnknownTellsTheLogOnly(t *testing.T) {
	err := credential.Unknown("crm/login")
	if strings.Contains(err.Message, "crm") || !strings.Contains(err.Error(), "crm/login") {
		t.Errorf("to the caller %q, to the log %q", err.Message, err.Error())
	}
}

func TestFieldsEqual(t *testing.T) {
	a := credential.Fields{"u": secret.FromString("1"), "p": secret.FromString("2")}
	for _, b := range []credential.Fields{
		nil, {"u": secret.FromString("1")}, {"u": secret.FromString("1"), "p": secret.FromString("3")},
		{"u": secret.FromString("1"), "q": secret.FromString("2")},
	} {
		if a.Equal(b) || b.Equal(a) {
			t.Errorf("%v equals %v", a.Names(), b.Names())
		}
	}
	if !a.Equal(credential.Fields{"p": secret.FromString("2"), "u": secret.FromString("1")}) {
		t.Error("fields are not equal to themselves")
	}
}
