package login

import (
	"bytes"
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
	purpose
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
	Purpose                purpose
	Second                 bool `json:",omitempty"`
}

var errSealed = errors.New("login: a transaction that was not sealed for this state")

// key is the name of a transaction in the store.
func key(state string) string { return nameOf("intercom login", state) }

func nameOf(what, state string) string {
	sum := sha256.Sum256([]byte(what + "\x00" + state))
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

// seal writes v for the store, where it stands under name. The key is used twice, for a transaction and its purpose.
func seal(state, name string, v any) ([]byte, error) {
	aead, err := sealer(state)
	if err != nil {
		return nil, err
	}
	var plain bytes.Buffer
	to := json.NewEncoder(&plain)
	to.SetEscapeHTML(false) // nobody shows it, and < would take six bytes of the store
	if err := to.Encode(v); err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain.Bytes(), []byte(name)), nil
}

// open reads what seal wrote for that state and name.
func open(state, name string, sealed []byte, v any) error {
	aead, err := sealer(state)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(name))
	if err != nil || json.Unmarshal(plain, v) != nil {
		return errSealed
	}
	return nil
}

// seal writes t for the store.
func (t transaction) seal() ([]byte, error) {
	state := string(t.State.Reveal())
	return seal(state, key(state), kept{
		State: state, Nonce: string(t.Nonce.Reveal()), Verifier: string(t.Verifier.Reveal()), RedirectURI: t.RedirectURI, Prompt: t.Prompt,
		ACR: t.ACR, MaxAge: t.MaxAge, Started: t.Started, Purpose: t.purpose, Second: t.Second,
	})
}

// openTransaction reads what [transaction.seal] wrote for that state.
func openTransaction(state string, sealed []byte) (transaction, error) {
	var k kept
	if err := open(state, key(state), sealed, &k); err != nil {
		return transaction{}, err
	}
	return transaction{provider.Transaction{
		State: secret.FromString(k.State), Nonce: secret.FromString(k.Nonce), Verifier: secret.FromString(k.Verifier),
		RedirectURI: k.RedirectURI, Prompt: k.Prompt, ACR: k.ACR, MaxAge: k.MaxAge, Started: k.Started,
	}, k.Purpose, k.Second}, nil
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
