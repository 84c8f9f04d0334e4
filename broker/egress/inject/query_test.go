package inject_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/service"
)

var apiKey = &service.QueryRef{Name: "api_key"}

func TestQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"":                          "api_key=k+%26%3D",
		"a=1&b":                     "a=1&b&api_key=k+%26%3D",
		"api_key=theirs":            "api_key=k+%26%3D",
		"api_key=x&a=1&api_key":     "a=1&api_key=k+%26%3D",
		"API_KEY=x&api-key=y":       "api_key=k+%26%3D",
		"%61pi%5Fkey=x&a=%2B":       "a=%2B&api_key=k+%26%3D",
		"api_key[]=x&api_key[0]=y":  "api_key=k+%26%3D",
		"api_key%5B%5D=x":           "api_key=k+%26%3D",
		"api_keys=x&xapi_key=y&&c=": "api_keys=x&xapi_key=y&c=&api_key=k+%26%3D",
	} {
		got, err := inject.Query(raw, apiKey, fields("value", "k &="))
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", raw, got, err, want)
		}
	}
}

func TestQueryRefuses(t *testing.T) {
	for name, test := range map[string]struct{ raw, value, reason string }{
		"a semicolon":      {"a=1;api_key=x", "hunter2", inject.ReasonQuery},
		"a broken escape":  {"api_key%=x", "hunter2", inject.ReasonQuery},
		"no value":         {"", "", inject.ReasonUnusable},
		"a newline at end": {"", "hunter2\n", inject.ReasonUnusable},
	} {
		got, err := inject.Query(test.raw, apiKey, fields("value", test.value))
		if got != "" || fault.From(err).Reason != test.reason || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// FuzzQueryHasOneKey holds that whoever reads what is sent finds our value under the name, and no other one.
func FuzzQueryHasOneKey(f *testing.F) {
	f.Add("api_key=x&a=1", "value")
	f.Add("%61pi_key=x&API-KEY=y&api.key[]", "a b&c=d#%")
	f.Add("a;b&%zz", "é")
	f.Add("=%", "0")
	f.Fuzz(func(t *testing.T, raw, value string) {
		got, err := inject.Query(raw, apiKey, fields("value", value))
		if err != nil {
			return
		}
		read, err := url.ParseQuery(got)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		for name, values := range read {
			name, _, _ = strings.Cut(name, "[")
			folded := strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(name))
			if folded == "api_key" && (len(values) != 1 || values[0] != value || name != "api_key") {
				t.Fatalf("%q under %q: %q", got, name, values)
			}
		}
		if read.Get("api_key") != value {
			t.Fatalf("%q has %q", got, read.Get("api_key"))
		}
	})
}
