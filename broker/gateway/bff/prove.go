package bff

import (
	"net/http"
	"strings"
	"sync"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/outbound"
)

// prove puts a bound token into a request, with the proof that we hold its key (RFC 9449, section 7.1).
func (v *visit) prove(h http.Header, token string) error {
	key, err := dpop.ParseKey(v.who.Tokens.Key)
	if err != nil {
		return fault.New(fault.Internal, "", "internal error").Because(err)
	}
	s := v.route.Service
	to := outbound.URL(s.Upstream.URL.EscapedPath(), v.path, v.r.URL)
	to.Scheme, to.Host = s.Upstream.URL.Scheme, s.Upstream.URL.Host
	proof, err := key.Proof(dpop.Use{Method: v.r.Method, URL: to.String(), Token: token, Nonce: v.nonces.of(s.Name), Now: v.now()})
	if err != nil {
		return fault.New(fault.Internal, "", "internal error").Because(err)
	}
	h["Authorization"], h[dpopProof] = []string{"DPoP " + token}, []string{proof}
	return nil
}

// nonces are what services want to see in the next proof (section 9).
type nonces struct {
	mu   sync.RWMutex
	last map[string]string
}

// The names as net/http has them.
const (
	dpopProof = "Dpop"
	dpopNonce = "Dpop-Nonce"
)

// maxNonce bounds what is said back to a service.
const maxNonce = 512

func (n *nonces) of(service string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.last[service]
}

// learn takes the nonce of an answer, and reports whether the request was refused for want of it.
func (n *nonces) learn(service string, res *http.Response) bool {
	nonce := res.Header.Get(dpop.HeaderNonce)
	if nonce == "" || len(nonce) > maxNonce {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[string]string{}
	}
	n.last[service] = nonce
	return res.StatusCode == http.StatusUnauthorized && strings.Contains(res.Header.Get("Www-Authenticate"), "use_dpop_nonce")
}
