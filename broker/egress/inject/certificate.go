package inject

import (
	"crypto/tls"

	"github.com/intercom-broker/intercom/broker/credential"
)

// Certificate returns the client certificate that fields hold as PEM: the leaf and what vouches for it, and
// the key.
func Certificate(fields credential.Fields) (tls.Certificate, error) {
	chain, err := pick(fields, fieldCertificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := pick(fields, fieldKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(chain.Reveal(), key.Reveal())
	if err != nil { // its words name the sorts of blocks that were found and no bytes, but that is for it to change
		return tls.Certificate{}, unusable("certificate and key are no pair of PEM")
	}
	return pair, nil
}
