package cache

import "time"

// Gap is a held key that cannot be served.
type Gap[K comparable] struct {
	Key K
	// Err is why; nil means that the first fetch is still under way.
	Err error
}

// Hold replaces the set of keys that are kept whether used or not. New ones are fetched at once; those
// that are no longer in it live on as ordinary ones.
func (c *Cache[K, V]) Hold(keys ...K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		e.held = false
	}
	for _, key := range keys {
		c.hold(key)
	}
}

func (c *Cache[K, V]) hold(key K) {
	if c.ctx.Err() != nil {
		return
	}
	e := c.entries[key]
	if e == nil {
		e = &entry[V]{}
		c.entries[key] = e
	}
	e.held = true
	if !e.has && e.err == nil {
		c.start(key, e)
	}
}

// Missing returns the held keys whose value cannot be served now.
func (c *Cache[K, V]) Missing() (gaps []Gap[K]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.entries {
		if e.held && !e.servable(time.Now()) {
			gaps = append(gaps, Gap[K]{Key: key, Err: e.err})
		}
	}
	return gaps
}
