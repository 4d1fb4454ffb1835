package store

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// quiet is how long something must have worked before it counts as well again:
// what fails every other time is one fault, not many.
const quiet = 10 * time.Second

// health logs when something begins to fail and when it works again: one line
// for each change, however many requests see it.
type health struct {
	log  *zap.Logger
	what string // "the cache's disk cannot be written"
	well string // "the cache's disk can be written again"

	mu      sync.Mutex
	failing bool
	count   int
	last    time.Time
}

// report notes that doing something failed, or, with a nil error, worked. A log
// that is stuck holds up nobody else.
func (h *health) report(doing string, err error) {
	h.mu.Lock()
	before, count := h.failing, h.count
	switch {
	case err != nil:
		h.failing, h.last = true, time.Now()
		h.count++
	case h.failing && time.Since(h.last) > quiet:
		h.failing, h.count = false, 0
	}
	after := h.failing
	h.mu.Unlock()
	switch {
	case after && !before:
		h.log.Warn("cache: "+h.what, zap.String("doing", doing), zap.Error(err))
	case before && !after:
		h.log.Info("cache: "+h.well, zap.Int("failures", count))
	}
}

// ok reports whether it works, as far as is known.
func (h *health) ok() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.failing
}
