package inject_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/service"
)

// suiteTime, suite and suiteKeys are the context of AWS's published signing test suite.
var (
	suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	suite     = &service.SigV4{Region: "us-east-1", Service: "service"}
	suiteKeys = fields("access_key_id", "AKIDEXAMPLE", "secret_access_key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
)

func signing(t testing.TB, method, target string, h http.Header, body string) *inject.Request {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		h = http.Header{}
	}
	return &inject.Request{Method: method, URL: u, Header: h, Body: []byte(body), Length: int64(len(body)), Now: suiteTime}
}

// TestPublishedSuite holds cases of the suite by their names there: the signatures are AWS's. The suite writes
// paths once, as only s3 does here, so its cases with an escaped path are in [TestS3Examples].
func TestPublishedSuite(t *testing.T) {
	const example = "https://example.amazonaws.com"
	tests := map[string]struct {
		method, target string
		header         http.Header
		body           string
		signed, want   string
	}{
		"get-vanilla":                      {"GET", "/", nil, "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-vanilla-empty-query-key":      {"GET", "/?Param1=value1", nil, "", "host;x-amz-date", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		"get-vanilla-query-order-key-case": {"GET", "/?Param2=value2&Param1=value1", nil, "", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-vanilla-query-order-encoded":  {"GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", nil, "", "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
		"get-vanilla-utf8-query":           {"GET", "/?ሴ=bar", nil, "", "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		"get-unreserved":                   {"GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil, "", "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		"get-header-value-trim":            {"GET", "/", http.Header{"My-Header1": {" value1"}, "My-Header2": {` "a   b   c"`}}, "", "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		"get-header-key-duplicate":         {"GET", "/", http.Header{"My-Header1": {"value2", "value2", "value1"}}, "", "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		"get-header-value-order":           {"GET", "/", http.Header{"My-Header1": {"value4", "value1", "value3", "value2"}}, "", "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
		"post-vanilla":                     {"POST", "/", nil, "", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-vanilla-query":               {"POST", "/?Param1=value1", nil, "", "host;x-amz-date", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		"post-x-www-form-urlencoded": {"POST", "/", http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "X-Amz-Content-Sha256": {"9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"},
		}, "Param1=value1", "content-length;content-type;host;x-amz-content-sha256;x-amz-date", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
	}
	for name, test := range tests {
		r := signing(t, test.method, example+test.target, test.header, test.body)
		if err := inject.SigV4(r, suite, suiteKeys); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + test.signed + ", Signature=" + test.want
		if diff := cmp.Diff(want, r.Header.Get("Authorization")); diff != "" || r.Header.Get("X-Amz-Date") != "20150830T123600Z" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSessionTokenOfTheSuite(t *testing.T) {
	keys := fields("session_token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267")
	for name, v := range suiteKeys {
		keys[name] = v
	}
	r := signing(t, "GET", "https://example.amazonaws.com/", nil, "")
	if err := inject.SigV4(r, suite, keys); err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8") {
		t.Error(got)
	}
}

// TestS3Examples holds the examples of Amazon S3's API reference, "Signature Calculations for the
// Authorization Header". They are of http, where the body is signed.
func TestS3Examples(t *testing.T) {
	keys := fields("access_key_id", "AKIAIOSFODNN7EXAMPLE", "secret_access_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
	s3 := &service.SigV4{Region: "us-east-1", Service: "s3"}
	tests := map[string]struct {
		target string
		header http.Header
		want   string
	}{
		"GET Object":           {"/test.txt", http.Header{"Range": {"bytes=0-9"}}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		"GET Bucket Lifecycle": {"/?lifecycle", nil, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		"GET Bucket":           {"/?max-keys=2&prefix=J", nil, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	}
	for name, test := range tests {
		r := signing(t, "GET", "http://examplebucket.s3.amazonaws.com"+test.target, test.header, "")
		r.Now = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
		if err := inject.SigV4(r, s3, keys); err != nil {
			t.Fatal(err)
		}
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+test.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestPathInAWSForm: what is sent is what both of AWS's readings come to the same canonical path from. The
// suite's own paths are among them; s3, which writes them once, signs get-utf8 and get-space as the suite does.
func TestPathInAWSForm(t *testing.T) {
	for path, want := range map[string]string{
		"/%E1%88%B4": "/%E1%88%B4", "/example%20space/": "/example%20space/", "/docs:commit": "/docs%3Acommit", "/a,b=(c)": "/a%2Cb%3D%28c%29",
		"/a+b": "/a%2Bb", "/a%25b": "/a%25b", "/~-._": "/~-._",
	} {
		r := signing(t, "GET", "https://example.amazonaws.com"+path, nil, "")
		if err := inject.SigV4(r, suite, suiteKeys); err != nil || r.URL.EscapedPath() != want {
			t.Errorf("%s is sent as %s: %v", path, r.URL.EscapedPath(), err)
		}
	}
}

// TestSecretUnderTheSameID holds that a secret that is replaced under the same access key's id is used at once.
func TestSecretUnderTheSameID(t *testing.T) {
	sign := func(key string) string {
		r := signing(t, "GET", "https://example.amazonaws.com/", nil, "")
		if err := inject.SigV4(r, suite, fields("access_key_id", "AKIDEXAMPLE", "secret_access_key", key)); err != nil {
			t.Fatal(err)
		}
		return r.Header.Get("Authorization")
	}
	if sign("one") == sign("two") {
		t.Error("the old secret still signs")
	}
}

func TestSigV4Refuses(t *testing.T) {
	for name, test := range map[string]struct {
		target, reason string
		pairs          []string
	}{
		"no id":                 {"/", inject.ReasonUnusable, []string{"secret_access_key", "hunter2"}},
		"no secret":             {"/", inject.ReasonUnusable, []string{"access_key_id", "hunter2"}},
		"a secret with newline": {"/", inject.ReasonUnusable, []string{"access_key_id", "a", "secret_access_key", "hunter2\n"}},
		"a token with newline":  {"/", inject.ReasonUnusable, []string{"access_key_id", "a", "secret_access_key", "b", "session_token", "hunter2\r\nX: y"}},
		"a query with escapes":  {"/?a=%zz", inject.ReasonQuery, []string{"access_key_id", "a", "secret_access_key", "b"}},
		"a query in two ways":   {"/?a;b", inject.ReasonQuery, []string{"access_key_id", "a", "secret_access_key", "b"}},
	} {
		r := signing(t, "GET", "https://example.amazonaws.com"+test.target, nil, "")
		err := inject.SigV4(r, suite, fields(test.pairs...))
		if err == nil || fault.From(err).Reason != test.reason || strings.Contains(err.Error(), "hunter2") || len(r.Header) != 0 {
			t.Errorf("%s: %v %v", name, err, r.Header)
		}
	}
}
