package provider

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
)

const (
	negativeLife = 10 * time.Second
	maxNegatives = 4096
)

// negatives remembers what the provider refused, for a short while. The keys are hashes: tokens are not kept.
type negatives struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[[32]byte]negative
}

type negative struct {
	err error
	end time.Time
}

func newNegatives(now func() time.Time) *negatives {
	return &negatives{now: now, seen: map[[32]byte]negative{}}
}

func negativeKey(subject secret.Value, audience string, scope []string) [32]byte {
	token := sha256.Sum256(subject.Reveal())
	return sha256.Sum256([]byte(string(token[:]) + "\x00" + audience + "\x00" + strings.Join(scope, "\x00")))
}

func (n *negatives) get(key [32]byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if found, ok := n.seen[key]; ok && n.now().Before(found.end) {
		return found.err
	}
	return nil
}

// put forgets everything when it is full: what is lost is asked again.
func (n *negatives) put(key [32]byte, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if len(n.seen) >= maxNegatives {
		for k, old := range n.seen {
			if !now.Before(old.end) {
				delete(n.seen, k)
			}
		}
	}
	if len(n.seen) >= maxNegatives {
		clear(n.seen)
	}
	n.seen[key] = negative{err, now.Add(negativeLife)}
}
