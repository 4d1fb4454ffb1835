package origin

import (
	"sync"
	"time"
)

// poolKey tells connections apart that may be used for one another: the parent
// is the same for all of a transport, and each connection goes to an address
// that was checked when it was made.
type poolKey struct{ scheme, host string }

// Bounds of what is kept.
const (
	idlePerHost = 256  // connections to one origin
	idleInAll   = 1024 // connections
	idleTimeout = 30 * time.Second
)

// pool keeps idle connections, the youngest first in use again.
type pool struct {
	mu     sync.Mutex
	idle   map[poolKey][]*conn
	count  int
	closed bool
}

func newPool() *pool { return &pool{idle: make(map[poolKey][]*conn)} }

// take returns an idle connection on which the origin is still quiet, and that
// has not been idle since before, or nil.
func (p *pool) take(key poolKey, before time.Duration) *conn {
	for {
		p.mu.Lock()
		list := p.idle[key]
		if len(list) == 0 {
			p.mu.Unlock()
			return nil
		}
		c := list[len(list)-1]
		if c.idleSince < before {
			p.mu.Unlock()
			return nil
		}
		list[len(list)-1] = nil
		if len(list) == 1 {
			delete(p.idle, key)
		} else {
			p.idle[key] = list[:len(list)-1]
		}
		p.count--
		p.mu.Unlock()
		if c.Alive() {
			c.reused = true
			return c
		}
		c.Shut()
	}
}

// put takes a connection whose last exchange is complete.
func (p *pool) put(c *conn, now time.Duration) {
	c.Release()
	c.idleSince = now
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.count >= idleInAll || len(p.idle[c.key]) >= idlePerHost || c.Buffered() > 0 {
		c.Shut()
		return
	}
	p.idle[c.key] = append(p.idle[c.key], c)
	p.count++
}

// reap closes the connections that have been idle since before.
func (p *pool) reap(before time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, list := range p.idle {
		old := 0
		for old < len(list) && list[old].idleSince < before {
			list[old].Shut()
			old++
		}
		p.count -= old
		if old == len(list) {
			delete(p.idle, key)
		} else if old > 0 {
			p.idle[key] = append(list[:0:0], list[old:]...)
		}
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.reap(1 << 62)
}

func (p *pool) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}
