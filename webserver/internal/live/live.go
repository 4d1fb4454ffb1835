// Package live has the pages that browsers show loaded anew when a file has changed.
//
// It looks at the names and times of all files again and again, and takes at most a
// twentieth of one core for that. The kernel could tell of changes, but not on network
// file systems and many a container's mounts, and it would want a watch for each
// folder; and nobody notices the difference of a fifth of a second.
package live

import (
	"context"
	_ "embed"
	"sync"
	"time"
)

const (
	// Path is where a page waits for changes, by server-sent events. No file can have
	// that name: hidden ones are not served.
	Path = "/.live-reload"
	// ScriptPath is where Script is.
	ScriptPath = "/.live-reload.js"
	// Tag is what stands at the end of each page, as it is sent.
	Tag = "<script src=\"" + ScriptPath + "\"></script>\n"

	// MaxPages is how many pages can wait at a time.
	MaxPages = 64
)

// Script waits for changes in the browser.
//
//go:embed live.js
var Script []byte

const (
	interval = 200 * time.Millisecond // between two looks, if these take no longer than
	share    = 20                     // one part in so many of the time
	restless = 2 * time.Second        // how long files that change all the time are waited for
)

// Pages are those that wait. The zero value is ready.
type Pages struct {
	mu      sync.Mutex
	waiting int
	next    chan struct{} // closed by the next change
	last    time.Time     // of the last one, or when looking began
}

// Run looks for changes until ctx ends. look returns a number that changes with the
// files.
func (p *Pages) Run(ctx context.Context, look func() (state uint64)) {
	p.announce()
	for state := look(); ; {
		began := time.Now()
		now := look()
		took := time.Since(began)
		if now != state {
			// It may be one of many, or of the parts of one.
			for time.Since(began) < restless && ctx.Err() == nil {
				before := now
				time.Sleep(interval / 2)
				if now = look(); now == before {
					break
				}
			}
			state = now
			p.announce()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(interval, (share-1)*took)):
		}
	}
}

// announce tells all pages that there was a change.
func (p *Pages) announce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	if p.next != nil {
		close(p.next)
		p.next = nil
	}
}

// Wait adds a page that began to load at that time. changed is closed when it should
// load anew; leave must be called when it is gone. ok is false if there are MaxPages.
func (p *Pages) Wait(loaded time.Time) (changed <-chan struct{}, leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting >= MaxPages {
		return nil, nil, false
	}
	p.waiting++
	if p.next == nil {
		p.next = make(chan struct{})
	}
	next := p.next
	if loaded.Before(p.last) {
		next = make(chan struct{})
		close(next)
	}
	return next, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting--
	}, true
}
