package authn_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
)

func grpcCode(err error) codes.Code { return status.Code(err) }

const us = "https://broker.test"

// issuer signs tokens for a.test with one key, whatever they say.
type issuer struct {
	key  *ecdsa.PrivateKey
	keys *jwtbundle.Set
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bundle := func(name string) *jwtbundle.Bundle {
		td := spiffeid.RequireTrustDomainFromString(name)
		return jwtbundle.FromJWTAuthorities(td, map[string]crypto.PublicKey{"k1": key.Public()})
	}
	return issuer{key, jwtbundle.NewSet(bundle("a.test"), bundle("b.test"))}
}

func (i issuer) verifier(t testing.TB, m *authn.Metrics, l *slog.Logger) *authn.Verifier {
	t.Helper()
	v, err := authn.New(authn.Config{
		Domains: []spiffeid.TrustDomain{spiffeid.RequireTrustDomainFromString("a.test")}, JWTBundles: i.keys, Audience: us, Metrics: m, Logger: l,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// claims are those of a good token, with changes; a nil takes a claim away.
func claims(changes jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{"sub": "spiffe://a.test/orders", "aud": us, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (i issuer) sign(t testing.TB, c jwt.MapClaims, header map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	token.Header["kid"] = "k1"
	for k, v := range header {
		if v == nil {
			delete(token.Header, k)
			continue
		}
		token.Header[k] = v
	}
	signed, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestFromJWTSVID(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(t, nil, nil)
	exp := time.Now().Add(4 * time.Minute).Truncate(time.Second)
	p, err := v.FromJWTSVID(t.Context(), i.sign(t, claims(jwt.MapClaims{"exp": exp.Unix()}), nil))
	if err != nil {
		t.Fatal(err)
	}
	w := p.Workload
	if w.ID.String() != "spiffe://a.test/orders" || w.Proof != identity.ByJWTSVID || w.Thumbprint != "" || !w.NotAfter.Equal(exp) {
		t.Errorf("%+v", w)
	}
	if _, err := authn.New(authn.Config{JWTBundles: i.keys}); err == nil {
		t.Error("a verifier without an audience")
	}
}

func TestJWTSVIDsThatDoNotCount(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := i.sign(t, claims(nil), nil)
	segments := strings.Split(good, ".")
	for name, tc := range map[string]struct{ token, reason string }{
		"good":                       {good, "ok"},
		"good, typ JOSE":             {i.sign(t, claims(nil), map[string]any{"typ": "JOSE"}), "ok"},
		"good, without typ":          {i.sign(t, claims(nil), map[string]any{"typ": nil}), "ok"},
		"good, without iat":          {i.sign(t, claims(jwt.MapClaims{"iat": nil}), nil), "ok"},
		"good, a clock behind":       {i.sign(t, claims(jwt.MapClaims{"iat": at(20 * time.Second), "nbf": at(20 * time.Second)}), nil), "ok"},
		"ended within the skew":      {i.sign(t, claims(jwt.MapClaims{"exp": at(-20 * time.Second)}), nil), "ok"},
		"ended":                      {i.sign(t, claims(jwt.MapClaims{"exp": at(-40 * time.Second)}), nil), "time"},
		"long ended":                 {i.sign(t, claims(jwt.MapClaims{"exp": at(-time.Hour)}), nil), "invalid"},
		"without exp":                {i.sign(t, claims(jwt.MapClaims{"exp": nil}), nil), "invalid"},
		"ends in an hour":            {i.sign(t, claims(jwt.MapClaims{"exp": at(time.Hour)}), nil), "time"},
		"the same without iat":       {i.sign(t, claims(jwt.MapClaims{"exp": at(time.Hour), "iat": nil}), nil), "time"},
		"an hour's, nearly over":     {i.sign(t, claims(jwt.MapClaims{"exp": at(time.Minute), "iat": at(-59 * time.Minute)}), nil), "time"},
		"made in the future":         {i.sign(t, claims(jwt.MapClaims{"iat": at(45 * time.Second)}), nil), "time"},
		"not yet valid":              {i.sign(t, claims(jwt.MapClaims{"nbf": at(45 * time.Second)}), nil), "time"},
		"two audiences":              {i.sign(t, claims(jwt.MapClaims{"aud": []string{us, "ledger"}}), nil), "audience"},
		"us twice":                   {i.sign(t, claims(jwt.MapClaims{"aud": []string{us, us}}), nil), "audience"},
		"another audience":           {i.sign(t, claims(jwt.MapClaims{"aud": "ledger"}), nil), "invalid"},
		"no audience":                {i.sign(t, claims(jwt.MapClaims{"aud": nil}), nil), "invalid"},
		"without sub":                {i.sign(t, claims(jwt.MapClaims{"sub": nil}), nil), "invalid"},
		"sub is no SPIFFE ID":        {i.sign(t, claims(jwt.MapClaims{"sub": "orders"}), nil), "invalid"},
		"sub is a trust domain":      {i.sign(t, claims(jwt.MapClaims{"sub": "spiffe://a.test"}), nil), "invalid"},
		"a known foreign domain":     {i.sign(t, claims(jwt.MapClaims{"sub": "spiffe://b.test/x"}), nil), "foreign_domain"},
		"an unknown foreign domain":  {i.sign(t, claims(jwt.MapClaims{"sub": "spiffe://c.test/x"}), nil), "foreign_domain"},
		"another key under that id":  {other.sign(t, claims(nil), nil), "invalid"},
		"an unknown key id":          {i.sign(t, claims(nil), map[string]any{"kid": "k2"}), "invalid"},
		"without key id":             {i.sign(t, claims(nil), map[string]any{"kid": nil}), "invalid"},
		"an access token":            {i.sign(t, claims(nil), map[string]any{"typ": "at+jwt"}), "invalid"},
		"an unknown critical header": {i.sign(t, claims(nil), map[string]any{"crit": []string{"x"}, "x": 1}), "invalid"},
		"HS256 with the public key":  {hmacWithPublicKey(t, i), "invalid"},
		"alg none":                   {none(t), "invalid"},
		"no signature":               {segments[0] + "." + segments[1] + ".", "invalid"},
		"two segments":               {segments[0] + "." + segments[1], "malformed"},
		"empty":                      {"", "malformed"},
		"a line break":               {good[:20] + "\n" + good[20:], "malformed"},
		"loose bits":                 {good[:len(good)-1] + next(good[len(good)-1]), "malformed"},
		"padding":                    {good + "==", "malformed"},
		"larger than a token can be": {good + strings.Repeat("A", 16<<10), "malformed"},
		"with a scheme before":       {"Bearer " + good, "malformed"},
	} {
		registry := prometheus.NewRegistry()
		p, err := i.verifier(t, authn.NewMetrics(registry), nil).FromJWTSVID(t.Context(), tc.token)
		if tc.reason == "ok" != (err == nil) || p.IsZero() != (err != nil) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if err != nil && fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("%s: refused as %v", name, fault.KindOf(err))
		}
		if got := onlyLabel(t, registry, "intercom_authn_jwt_svids_total"); got != tc.reason {
			t.Errorf("%s: counted as %q, want %q", name, got, tc.reason)
		}
	}
}

func TestForeignDomainsAreNamed(t *testing.T) {
	i := newIssuer(t)
	var log strings.Builder
	for domain, label := range map[string]string{"b.test": "b.test", "c.test": "unknown"} {
		log.Reset()
		registry := prometheus.NewRegistry()
		v := i.verifier(t, authn.NewMetrics(registry), slog.New(slog.NewTextHandler(&log, nil)))
		token := i.sign(t, claims(jwt.MapClaims{"sub": "spiffe://" + domain + "/x"}), nil)
		if _, err := v.FromJWTSVID(t.Context(), token); err == nil {
			t.Error("a foreign domain was let in")
		}
		if got := onlyLabel(t, registry, "intercom_authn_foreign_domain_refusals_total"); got != label {
			t.Errorf("%s is counted as %q, want %q", domain, got, label)
		}
		if !strings.Contains(log.String(), "trust_domain="+domain) || strings.Contains(log.String(), strings.Split(token, ".")[1]) {
			t.Errorf("logged: %s", log.String())
		}
	}
}

// onlyLabel returns the label of a metric that has one series.
func onlyLabel(t *testing.T, r *prometheus.Registry, name string) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetLabel()[0].GetValue()
		}
	}
	return ""
}

func hmacWithPublicKey(t *testing.T, i issuer) string {
	t.Helper()
	public, err := i.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
	token.Header["kid"] = "k1"
	signed, err := token.SignedString(public)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func none(t *testing.T) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodNone, claims(nil))
	token.Header["kid"] = "k1"
	signed, err := token.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// next returns the next letter of base64url: at the end of an ES256 signature, whose last letter carries
// two bits, it decodes to the same bytes.
func next(letter byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, letter)+1])
}

// FuzzChangedTokenIsRefused changes a good token in every way that it can think of. What is accepted says
// what was signed, in the same letters.
func FuzzChangedTokenIsRefused(f *testing.F) {
	i := newIssuer(f)
	v := i.verifier(f, nil, nil)
	good := i.sign(f, claims(nil), nil)
	if _, err := v.FromJWTSVID(f.Context(), good); err != nil {
		f.Fatal(err)
	}
	f.Add(0, []byte(""), 0)
	f.Add(len(good)-1, []byte("A"), 1)
	f.Add(10, []byte("\r\n"), 0)
	f.Add(0, []byte(`eyJhbGciOiJub25lIn0`), strings.Index(good, "."))
	f.Add(len(good), []byte("="), 0)
	f.Fuzz(func(t *testing.T, at int, insert []byte, drop int) {
		if at < 0 || at > len(good) || drop < 0 || at+drop > len(good) {
			return
		}
		changed := good[:at] + string(insert) + good[at+drop:]
		if _, err := v.FromJWTSVID(t.Context(), changed); err == nil && changed != good {
			t.Fatalf("accepted %q, changed from %q", changed, good)
		}
	})
}

// TestSignatureTwin shows why a token's text is no id: (r, n-s) verifies where (r, s) does. It says
// nothing that was not signed.
func TestSignatureTwin(t *testing.T) {
	i := newIssuer(t)
	segments := strings.Split(i.sign(t, claims(nil), nil), ".")
	sig, err := base64.RawURLEncoding.DecodeString(segments[2])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:]))
	segments[2] = base64.RawURLEncoding.EncodeToString(append(sig[:32:32], s.FillBytes(make([]byte, 32))...))
	p, err := i.verifier(t, nil, nil).FromJWTSVID(t.Context(), strings.Join(segments, "."))
	if err != nil || p.Subject() != "spiffe://a.test/orders" {
		t.Errorf("the twin is refused now (%v): say so in the package comment", errors.Unwrap(err))
	}
}
