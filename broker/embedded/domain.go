package embedded

import (
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Config describes a Domain.
type Config struct {
	// Name is the trust domain; the zero value means "intercom.test".
	Name spiffeid.TrustDomain
	// SVIDLife is how long an X.509-SVID lives, rounded up to a whole second; 0 means 1 h. It is renewed
	// at half of it.
	SVIDLife time.Duration
	// JWTLife is how long a JWT-SVID lives; 0 means 5 min.
	JWTLife time.Duration
	// Issuer is the `iss` of JWT-SVIDs, which some verifiers want; empty means that they have none.
	Issuer string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Name.IsZero() {
		c.Name = spiffeid.RequireTrustDomainFromString("intercom.test")
	}
	if c.SVIDLife == 0 {
		c.SVIDLife = time.Hour
	}
	if c.JWTLife == 0 {
		c.JWTLife = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Domain is a trust domain with its authorities. It is safe for concurrent use.
type Domain struct {
	cfg    Config
	bundle *spiffebundle.Bundle // every authority, also the next and the old ones

	mu        sync.Mutex
	active    *authority
	next      *authority // nil unless prepared
	rotations int        // SVIDs of an earlier count are replaced
	dns       map[spiffeid.ID][]string
	federated map[spiffeid.TrustDomain]*Domain
	followers []*Domain
	changed   chan struct{} // closed and replaced at every change
}

// New returns a Domain with new keys.
func New(cfg Config) (*Domain, error) {
	cfg = cfg.withDefaults()
	d := &Domain{
		cfg:       cfg,
		bundle:    spiffebundle.New(cfg.Name),
		dns:       map[spiffeid.ID][]string{},
		federated: map[spiffeid.TrustDomain]*Domain{},
		changed:   make(chan struct{}),
	}
	return d, d.RotateAuthority()
}

// Name returns the trust domain.
func (d *Domain) Name() spiffeid.TrustDomain { return d.cfg.Name }

// ID returns the SPIFFE ID with that path in d, such as "/orders", and panics when the path is not one.
func (d *Domain) ID(path string) spiffeid.ID { return spiffeid.RequireFromPath(d.cfg.Name, path) }

// Bundle returns a copy of d's own bundle, X.509 and JWT authorities.
func (d *Domain) Bundle() *spiffebundle.Bundle { return d.bundle.Clone() }

// SetDNS gives the SVIDs of id these DNS names, and renews it now; the first is the common name too.
func (d *Domain) SetDNS(id spiffeid.ID, names ...string) {
	d.mu.Lock()
	d.dns[id] = names
	d.mu.Unlock()
	d.Rotate()
}

// Federate makes the workloads of d trust the authorities of other, now and after other's rotations.
func (d *Domain) Federate(other *Domain) {
	d.mu.Lock()
	d.federated[other.Name()] = other
	d.mu.Unlock()
	other.mu.Lock()
	other.followers = append(other.followers, d)
	other.mu.Unlock()
	d.announce()
}

// Rotate gives every workload of d a new X.509-SVID now.
func (d *Domain) Rotate() {
	d.mu.Lock()
	d.rotations++
	d.mu.Unlock()
	d.announce()
}

// PrepareAuthority puts the next authorities into the bundle, before anything is signed with them. It
// does nothing when they are prepared already.
func (d *Domain) PrepareAuthority() error {
	d.mu.Lock()
	err := d.prepareLocked()
	d.mu.Unlock()
	d.announceAll()
	return err
}

func (d *Domain) prepareLocked() error {
	if d.next != nil {
		return nil
	}
	next, err := newAuthority(d.cfg.Name, d.cfg.Now())
	if err != nil {
		return err
	}
	d.next = next
	d.bundle.AddX509Authority(next.cert)
	return d.bundle.AddJWTAuthority(next.kid, next.jwtKey.Public())
}

// RotateAuthority signs with new authorities from now on (the prepared ones, if there are) and gives every
// workload a new SVID. The old ones stay in the bundle.
func (d *Domain) RotateAuthority() error {
	d.mu.Lock()
	err := d.prepareLocked()
	if err == nil {
		d.active, d.next = d.next, nil
		d.rotations++
	}
	d.mu.Unlock()
	d.announceAll()
	return err
}

// announceAll tells also the domains that trust d: their workloads see d's bundle.
func (d *Domain) announceAll() {
	d.announce()
	d.mu.Lock()
	followers := d.followers
	d.mu.Unlock()
	for _, f := range followers {
		f.announce()
	}
}

func (d *Domain) announce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
}

// next change: closed when anything in d, or in a domain that it trusts, changes.
func (d *Domain) updated() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// bundles returns the bundles that a workload of d sees: its own and the federated ones.
func (d *Domain) bundles() *spiffebundle.Set {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := spiffebundle.NewSet(d.bundle.Clone())
	for _, other := range d.federated {
		set.Add(other.bundle.Clone())
	}
	return set
}
