package login

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/secret"
)

// transaction is what is kept of a login between the browser's two visits.
type transaction struct {
	provider.Transaction
	// Browser is the digest of the cookie of the browser that it is for.
	Browser [sha256.Size]byte
	// Origin is where it began, and ReturnTo where it leads.
	Origin, ReturnTo string
	// Second is set where the login was begun once more by us: that is done once.
	Second bool
}

// kept is a transaction on its way into the store and back.
type kept struct {
	State, Nonce, Verifier string
	RedirectURI, Prompt    string
	ACR                    []string
	MaxAge                 time.Duration
	Started                time.Time
	Browser                []byte
	Origin, ReturnTo       string
	Second                 bool `json:",omitempty"`
}

var errSealed = errors.New("login: a transaction that was not sealed for this state")

// key is the name of a transaction in the store.
func key(state string) string {
	sum := sha256.Sum256([]byte("intercom login\x00" + state))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sealer returns the AEAD of a state.
func sealer(state string) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, []byte(state), nil, "intercom login transaction", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal writes t for the store. The key is used once, for one transaction.
func (t transaction) seal() ([]byte, error) {
	state := string(t.State.Reveal())
	aead, err := sealer(state)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(kept{
		State: state, Nonce: string(t.Nonce.Reveal()), Verifier: string(t.Verifier.Reveal()), RedirectURI: t.RedirectURI, Prompt: t.Prompt,
		ACR: t.ACR, MaxAge: t.MaxAge, Started: t.Started, Browser: t.Browser[:], Origin: t.Origin, ReturnTo: t.ReturnTo, Second: t.Second,
	})
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, []byte(key(state))), nil
}

// open reads what seal wrote for that state.
func open(state string, sealed []byte) (t transaction, err error) {
	aead, err := sealer(state)
	if err != nil {
		return t, err
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(key(state)))
	if err != nil {
		return t, errSealed
	}
	var k kept
	if err := json.Unmarshal(plain, &k); err != nil || len(k.Browser) != len(t.Browser) {
		return t, errSealed
	}
	t.Transaction = provider.Transaction{
		State: secret.FromString(k.State), Nonce: secret.FromString(k.Nonce), Verifier: secret.FromString(k.Verifier),
		RedirectURI: k.RedirectURI, Prompt: k.Prompt, ACR: k.ACR, MaxAge: k.MaxAge, Started: k.Started,
	}
	t.Browser, t.Origin, t.ReturnTo, t.Second = [sha256.Size]byte(k.Browser), k.Origin, k.ReturnTo, k.Second
	return t, nil
}

// newBrowser returns the value of a new binding cookie.
func newBrowser() string { return base64.RawURLEncoding.EncodeToString(random(32)) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return b
}

// digest is how a binding cookie is known here.
func digest(browser string) [sha256.Size]byte {
	return sha256.Sum256([]byte("intercom browser\x00" + browser))
}
