package providertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Forgery is a token in the making.
type Forgery struct {
	// Header overrules the header that the provider would write.
	Header map[string]any
	// Claims are those of a good token, to be changed.
	Claims map[string]any
	// How it is signed; the zero value means with the provider's own key.
	How Signing
}

// Signing is how a forged token is signed.
type Signing int

// The ways to sign.
const (
	ByProvider    Signing = iota
	ByStranger            // with a key that is nobody's, under the kid of the provider's
	ByUnknown             // with a key that is nobody's, under a kid of its own
	ByNobody              // alg none
	ByPublicKey           // HS256, with the provider's public key as the secret
	ByBrokenProof         // by the provider, and then changed
)

// Defect is one thing that is wrong with a token.
type Defect struct {
	// Name says what.
	Name string
	// Statement is the conformance id that forbids it.
	Statement string
	// Forge makes it so.
	Forge func(*Forgery)
}

func set(name string, value any) func(*Forgery) {
	return func(f *Forgery) { f.Claims[name] = value }
}

func drop(name string) func(*Forgery) {
	return func(f *Forgery) { delete(f.Claims, name) }
}

func header(name string, value any) func(*Forgery) {
	return func(f *Forgery) { f.Header[name] = value }
}

func signed(how Signing) func(*Forgery) {
	return func(f *Forgery) { f.How = how }
}

func moved(name string, d time.Duration) func(*Forgery) {
	return func(f *Forgery) { f.Claims[name] = time.Now().Add(d).Unix() }
}

// signatures are the defects that every token may have.
func signatures(statement string) []Defect {
	return []Defect{
		{"signed by a stranger", statement, signed(ByStranger)},
		{"unknown kid", statement, signed(ByUnknown)},
		{"alg none", statement, signed(ByNobody)},
		{"HS256 with the public key", statement, signed(ByPublicKey)},
		{"changed after signing", statement, signed(ByBrokenProof)},
		{"another algorithm in the header", statement, header("alg", "RS512")},
		{"a critical extension", statement, header("crit", []string{"exp"})},
	}
}

// IDTokenDefects are the ways in which an ID token can be wrong (OpenID Connect Core 1.0, section 3.1.3.7).
func IDTokenDefects() []Defect {
	return append(signatures("FLOW-6"), []Defect{
		{"wrong iss", "FLOW-6", set("iss", "https://evil.example.test")},
		{"no iss", "FLOW-6", drop("iss")},
		{"wrong aud", "FLOW-6", set("aud", "another")},
		{"no aud", "FLOW-6", drop("aud")},
		{"several aud without azp", "FLOW-6", func(f *Forgery) {
			f.Claims["aud"] = []any{f.Claims["aud"], "another"}
			delete(f.Claims, "azp")
		}},
		{"azp is another", "FLOW-6", set("azp", "another")},
		{"expired", "FLOW-6", moved("exp", -10*time.Minute)},
		{"no exp", "FLOW-6", drop("exp")},
		{"iat in the future", "FLOW-6", moved("iat", 10*time.Minute)},
		{"no iat", "FLOW-6", drop("iat")},
		{"wrong nonce", "FLOW-6", set("nonce", "another")},
		{"no nonce", "FLOW-6", drop("nonce")},
		{"no sub", "FLOW-6", drop("sub")},
		{"sub is a number", "FLOW-6", set("sub", 7)},
		{"at_hash of another token", "FLOW-6", set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		{"a logout token", "FLOW-6", func(f *Forgery) {
			f.Header["typ"] = "logout+jwt"
			f.Claims["events"] = map[string]any{logoutEvent: map[string]any{}}
		}},
	}...)
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// LogoutDefects are the ways in which a logout token can be wrong (Back-Channel Logout 1.0, section 2.6).
func LogoutDefects() []Defect {
	return append(signatures("BCL-2"), []Defect{
		{"wrong iss", "BCL-3", set("iss", "https://evil.example.test")},
		{"wrong aud", "BCL-3", set("aud", "another")},
		{"no aud", "BCL-3", drop("aud")},
		{"iat in the future", "BCL-3", moved("iat", 10*time.Minute)},
		{"no iat", "BCL-3", drop("iat")},
		{"expired", "BCL-3", func(f *Forgery) {
			f.Claims["iat"], f.Claims["exp"] = time.Now().Add(-5*time.Minute).Unix(), time.Now().Add(-3*time.Minute).Unix()
		}},
		{"no exp", "BCL-3", drop("exp")},
		{"neither sub nor sid", "BCL-4", func(f *Forgery) {
			delete(f.Claims, "sub")
			delete(f.Claims, "sid")
		}},
		{"empty sub and sid", "BCL-4", func(f *Forgery) { f.Claims["sub"], f.Claims["sid"] = "", "" }},
		{"no events", "BCL-5", drop("events")},
		{"events of something else", "BCL-5", set("events", map[string]any{"https://example.test/other": map[string]any{}})},
		{"the event is a string", "BCL-5", set("events", map[string]any{logoutEvent: "yes"})},
		{"the event is null", "BCL-5", set("events", map[string]any{logoutEvent: nil})},
		{"the event is a list", "BCL-5", set("events", map[string]any{logoutEvent: []any{}})},
		{"events is a list", "BCL-5", set("events", []any{logoutEvent})},
		{"a nonce", "BCL-6", set("nonce", "n")},
		{"a nonce of null", "BCL-6", set("nonce", nil)},
		{"no jti", "BCL-7", drop("jti")},
		{"typ JWT", "BCL-8", header("typ", "JWT")},
		{"typ at+jwt", "BCL-8", header("typ", "at+jwt")},
		{"good for an hour", "BCL-8", moved("exp", time.Hour)},
	}...)
}

// LogoutToken returns a logout token with defects; without any it is as the provider sends it.
func (s *Server) LogoutToken(client, subject, sid string, defects ...Defect) string {
	f := &Forgery{Header: map[string]any{"typ": "logout+jwt"}, Claims: s.LogoutClaims(client, subject, sid)}
	return s.forge(f, defects)
}

func (s *Server) forge(f *Forgery, defects []Defect) string {
	for _, d := range defects {
		d.Forge(f)
	}
	return s.Forge(f)
}

// IDToken breaks the ID token in the answers of the token endpoint.
func (s *Server) IDToken(defects ...Defect) Fault {
	return Answer(func(body map[string]any) {
		raw, ok := body["id_token"].(string)
		if !ok {
			return
		}
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err == nil {
			body["id_token"] = s.forge(&Forgery{Header: map[string]any{}, Claims: claims}, defects)
		}
	})
}

// Forge signs what f says.
func (s *Server) Forge(f *Forgery) string {
	proper, err := s.Sign(f.Header, f.Claims)
	if err != nil {
		panic(err) // only a claim that no JSON can hold gets here
	}
	head, _, _ := strings.Cut(proper, ".")
	switch f.How {
	case ByStranger:
		return f.sign(decode(head), stranger)
	case ByUnknown:
		return f.sign(with(decode(head), "kid", rand.Text()), stranger)
	case ByNobody:
		return f.sign(with(decode(head), "alg", "none"), func(string) []byte { return nil })
	case ByPublicKey:
		return f.sign(with(decode(head), "alg", "HS256"), s.confused)
	case ByBrokenProof:
		f.Claims = with(f.Claims, "sub", "mallory")
		_, proof, _ := strings.Cut(strings.TrimPrefix(proper, head+"."), ".")
		return f.sign(decode(head), func(string) []byte { return unbase64(proof) })
	}
	return proper
}

func (f *Forgery) sign(header map[string]any, sign func(string) []byte) string {
	input := encode(header) + "." + encode(f.Claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign(input))
}

// stranger signs with a key that it makes up.
func stranger(input string) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	sig, err := jwt.SigningMethodES256.Sign(input, key)
	if err != nil {
		panic(err)
	}
	return sig
}

// confused takes for a secret what everybody knows.
func (s *Server) confused(input string) []byte {
	der, err := x509.MarshalPKIXPublicKey(crypto.PublicKey(s.JWKS().Keys[0].Key))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, der)
	_, _ = mac.Write([]byte(input))
	return mac.Sum(nil)
}

func with(m map[string]any, name string, value any) map[string]any {
	m = maps.Clone(m)
	m[name] = value
	return m
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func decode(segment string) (m map[string]any) {
	_ = json.Unmarshal(unbase64(segment), &m)
	return m
}

func unbase64(segment string) []byte {
	data, _ := base64.RawURLEncoding.DecodeString(segment)
	return data
}
