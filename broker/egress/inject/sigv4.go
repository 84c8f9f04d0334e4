package inject

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// The fields that SigV4 sets beside Authorization.
const (
	amzDate  = "X-Amz-Date"
	amzToken = "X-Amz-Security-Token"
	amzHash  = "X-Amz-Content-Sha256"
)

const unsignedPayload = "UNSIGNED-PAYLOAD"

// StreamsSigned reports whether requests to upstream are signed without their body: s3 takes TLS's word for
// it, and only then.
func StreamsSigned(upstream *url.URL, in *service.SigV4) bool {
	return isS3(in) && upstream.Scheme == "https"
}

// isS3 tells the services that write the path once, and want the payload's hash in a field of its own.
func isS3(in *service.SigV4) bool {
	return in.Service == "s3" || strings.HasPrefix(in.Service, "s3-") || in.Service == "s3express"
}

// SigV4 signs r, and writes its path and query in AWS's form. The signer is made anew for each request: it
// would keep a day's key under the access key's id alone, and go on signing with a secret that was replaced
// under the same id.
func SigV4(r *Request, in *service.SigV4, fields credential.Fields) error {
	keys, err := awsKeys(fields)
	if err != nil {
		return err
	}
	if err := awsForm(r.URL); err != nil {
		return err
	}
	signed := http.Request{Method: r.Method, URL: r.URL, Host: Host(r.URL), Header: signable(r.Header), ContentLength: r.Length}
	hash := r.hash()
	if isS3(in) {
		if StreamsSigned(r.URL, in) {
			hash = unsignedPayload
		}
		signed.Header[amzHash] = []string{hash}
	}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = isS3(in) }).
		SignHTTP(context.Background(), keys, &signed, hash, in.Service, in.Region, r.Now)
	if err != nil {
		return fault.New(fault.Internal, ReasonUnusable, "the request could not be signed").Because(err)
	}
	for _, name := range []string{authorization, amzDate, amzToken, amzHash} {
		if v, ok := signed.Header[name]; ok {
			r.Header[name] = v
		}
	}
	return nil
}

func awsKeys(fields credential.Fields) (keys aws.Credentials, err error) {
	var id, key secret.Value
	if id, err = pick(fields, fieldAccessKey); err != nil {
		return keys, err
	}
	if key, err = pick(fields, fieldSecretKey); err != nil {
		return keys, err
	}
	token := fields[fieldSessionToken]
	for _, v := range []secret.Value{id, key, token} {
		if !all(v.Reveal(), isTokenByte) {
			return keys, unusable("it holds a character that no key of AWS's has: a newline at its end, perhaps")
		}
	}
	return aws.Credentials{
		AccessKeyID: string(id.Reveal()), SecretAccessKey: string(key.Reveal()), SessionToken: string(token.Reveal()),
	}, nil
}

// awsForm writes the path as AWS does: %XX for everything but RFC 3986's unreserved characters. What is
// signed is the path that AWS makes of the one that it gets, and some of its services decode first and some do
// not; from this form both come to the same.
func awsForm(u *url.URL) error {
	if _, err := url.ParseQuery(u.RawQuery); err != nil { // the signer would leave out what it cannot read
		return ambiguous()
	}
	plain, err := url.PathUnescape(u.EscapedPath())
	if err != nil { // hygiene holds that it does not happen
		return fault.New(fault.Internal, ReasonUnusable, "the path could not be signed").Because(err)
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(plain) {
		if c := plain[i]; c == '/' || isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		}
	}
	u.Path, u.RawPath, u.ForceQuery = plain, b.String(), false
	return nil
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// signable returns a copy of h without what the next hop may change or take for itself.
func signable(h http.Header) http.Header {
	h = maps.Clone(h)
	for _, name := range []string{"Connection", "Upgrade", "Te", "Accept-Encoding", "Traceparent", "Tracestate", "Baggage"} {
		delete(h, name)
	}
	return h
}
