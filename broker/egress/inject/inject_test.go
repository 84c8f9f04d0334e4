package inject_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

func fields(pairs ...string) credential.Fields {
	f := credential.Fields{}
	for i := 0; i < len(pairs); i += 2 {
		f[pairs[i]] = secret.FromString(pairs[i+1])
	}
	return f
}

var (
	ref    = &service.CredentialRef{Credential: "crm/login"}
	basic  = &service.Inject{Basic: ref}
	bearer = &service.Inject{Bearer: ref}
)

func keyed(name, prefix string) *service.Inject {
	return &service.Inject{Header: &service.HeaderRef{Name: name, Prefix: prefix, Credential: "crm/login"}}
}

func TestApply(t *testing.T) {
	tests := map[string]struct {
		in     *service.Inject
		fields credential.Fields
		field  string
		want   string
	}{
		"the pair of RFC 7617, section 2":      {basic, fields("username", "Aladdin", "password", "open sesame"), "Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		"the pound of RFC 7617, section 2.1":   {basic, fields("username", "test", "password", "123£"), "Authorization", "Basic dGVzdDoxMjPCow=="},
		"a colon in the password":              {basic, fields("username", "a", "password", "b:c"), "Authorization", "Basic YTpiOmM="},
		"an empty password that is there":      {basic, fields("username", "key", "password", ""), "Authorization", "Basic a2V5Og=="},
		"bearer":                               {bearer, fields("token", "abc.def-_~+/="), "Authorization", "Bearer abc.def-_~+/="},
		"bearer from value":                    {bearer, fields("value", "abc"), "Authorization", "Bearer abc"},
		"bearer prefers token":                 {bearer, fields("value", "abc", "token", "def"), "Authorization", "Bearer def"},
		"a header":                             {keyed("X-Api-Key", ""), fields("value", "k v, w"), "X-Api-Key", "k v, w"},
		"a header prefers value":               {keyed("X-Api-Key", ""), fields("value", "abc", "token", "def"), "X-Api-Key", "abc"},
		"a header with a prefix":               {keyed("PRIVATE-TOKEN", "Token token="), fields("token", "abc"), "Private-Token", "Token token=abc"},
		"a header that is spelt otherwise":     {keyed("api_key", ""), fields("value", "abc"), "Api_key", "abc"},
		"a header may be Authorization itself": {keyed("authorization", "ApiKey "), fields("value", "abc"), "Authorization", "ApiKey abc"},
	}
	for name, test := range tests {
		h := http.Header{test.field: {"mallory", "mallory"}, "X-Other": {"1"}}
		for _, twin := range []string{strings.ToLower(test.field), strings.ReplaceAll(test.field, "-", "_"), strings.ReplaceAll(test.field, "-", ".")} {
			h[twin] = []string{"mallory"}
		}
		if err := inject.Apply(h, test.in, test.fields); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(http.Header{test.field: {test.want}, "X-Other": {"1"}}, h); diff != "" || !cmp.Equal(inject.Fields(test.in), []string{test.field}) {
			t.Errorf("%s: %s: %s", name, inject.Fields(test.in), diff)
		}
	}
}

// TestApplyRefuses holds that what cannot be put into a header whole is not put into it at all, and that
// the refusal tells the caller nothing and the log no value.
func TestApplyRefuses(t *testing.T) {
	tests := map[string]struct {
		in     *service.Inject
		fields credential.Fields
	}{
		"no username":            {basic, fields("user", "hunter2", "password", "hunter2")},
		"an empty username":      {basic, fields("username", "", "password", "hunter2")},
		"no password":            {basic, fields("username", "hunter2", "pass", "hunter2")},
		"a colon in the user":    {basic, fields("username", "hunter2:b", "password", "hunter2")},
		"a newline in the user":  {basic, fields("username", "hunter2\n", "password", "hunter2")},
		"a newline in password":  {basic, fields("username", "a", "password", "hunter2\n")},
		"a nul in password":      {basic, fields("username", "a", "password", "hunter2\x00")},
		"no token":               {bearer, fields("tokens", "hunter2")},
		"an empty token":         {bearer, fields("token", "")},
		"a token with newline":   {bearer, fields("token", "hunter2\r\nX-Admin: 1")},
		"a token with a space":   {bearer, fields("token", "hunter2 x")},
		"a token that is a list": {bearer, fields("token", "hunter2,x")},
		"a token beyond ASCII":   {bearer, fields("token", "hunter2é")},
		"a header with newline":  {keyed("X-Key", ""), fields("value", "hunter2\n")},
		"a header with a tab":    {keyed("X-Key", ""), fields("value", "hunter2\tx")},
		"a header, space before": {keyed("X-Key", ""), fields("value", " hunter2")},
		"a header, space after":  {keyed("X-Key", ""), fields("value", "hunter2 ")},
		"nothing to do":          {&service.Inject{Mint: &service.Mint{}}, fields("value", "hunter2")},
	}
	for name, test := range tests {
		h := http.Header{"Authorization": {"theirs"}, "X-Key": {"theirs"}}
		err := inject.Apply(h, test.in, test.fields)
		e := fault.From(err)
		if err == nil || e.Reason != inject.ReasonUnusable || strings.Contains(fmt.Sprintf("%v %+v", err, e), "hunter2") || strings.Contains(e.Message, "field") {
			t.Errorf("%s: %v", name, err)
		}
		if h.Get("Authorization") != "theirs" || h.Get("X-Key") != "theirs" {
			t.Errorf("%s: half done: %v", name, h)
		}
	}
}

// FuzzApplyNeverSplits holds that whatever is stored, the head of the request that is written is the one
// that was meant, and nothing is kept from one request to the next.
func FuzzApplyNeverSplits(f *testing.F) {
	f.Add("user", "pass", "prefix ")
	f.Add("a:b", "c\r\nX-Admin: 1", "")
	f.Add("\x00", " ", "Token ")
	f.Fuzz(func(t *testing.T, user, password, prefix string) {
		if strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r > '~' }) || strings.HasPrefix(prefix, " ") {
			return // the service files refuse the one, and the other is lost on the wire
		}
		for _, in := range []*service.Inject{basic, bearer, keyed("X-Key", prefix)} {
			f := fields("username", user, "password", password, "token", password, "value", password)
			once, twice := http.Header{}, http.Header{}
			if (inject.Apply(once, in, f) == nil) != (inject.Apply(twice, in, f) == nil) || !cmp.Equal(once, twice) {
				t.Fatalf("not the same twice: %q, %q", once, twice)
			}
			checkWire(t, once)
			if v, ok := strings.CutPrefix(once.Get("Authorization"), "Basic "); ok {
				if pair, err := base64.StdEncoding.DecodeString(v); err != nil || string(pair) != user+":"+password {
					t.Fatalf("%q is not %q:%q", pair, user, password)
				}
			}
		}
	})
}

func checkWire(t *testing.T, h http.Header) {
	t.Helper()
	var b bytes.Buffer
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(b.String(), "\n"); lines != len(h) || strings.Count(b.String(), "\r") != lines {
		t.Fatalf("%d fields were written as %q", len(h), b.String())
	}
	for name, values := range h {
		if want := name + ": " + values[0] + "\r\n"; b.String() != want {
			t.Fatalf("%q was written as %q", want, b.String())
		}
	}
}
