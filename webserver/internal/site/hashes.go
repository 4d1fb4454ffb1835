package site

import (
	"context"
	"io"
	"io/fs"
	"sync"
)

// hashes computes the entity tags of large files, one at a time, in the
// background, and remembers them.
type hashes struct {
	ctx    context.Context //nolint:containedctx // of the background work, which no call spans
	cancel context.CancelFunc
	work   sync.Mutex // held while a file is being hashed
	wg     sync.WaitGroup

	mu    sync.Mutex
	known map[identity]string // "" while it is being computed
}

// maxHashes bounds how many are remembered, and waited for.
const maxHashes = 4096

func (h *hashes) init() {
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.known = make(map[identity]string)
}

func (h *hashes) close() {
	h.cancel()
	h.wg.Wait()
}

// get returns the entity tag of the file with that identity, or "" and sees to
// it that it will be known.
func (h *hashes) get(id identity, open func() (fs.File, error)) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	tag, ok := h.known[id]
	if ok || h.ctx.Err() != nil {
		return tag
	}
	if len(h.known) >= maxHashes {
		for old, tag := range h.known {
			if tag != "" {
				delete(h.known, old)
				break
			}
		}
		if len(h.known) >= maxHashes {
			return ""
		}
	}
	h.known[id] = ""
	h.wg.Go(func() {
		h.work.Lock()
		defer h.work.Unlock()
		tag := h.compute(id, open)
		h.mu.Lock()
		defer h.mu.Unlock()
		if tag == "" {
			delete(h.known, id)
		} else {
			h.known[id] = tag
		}
	})
	return ""
}

// has reports whether the entity tag of the file with that identity is known.
func (h *hashes) has(id identity) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known[id] != ""
}

// compute hashes the file; "" if it is no longer the one meant.
func (h *hashes) compute(id identity, open func() (fs.File, error)) string {
	f, err := open()
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || identify(info) != id {
		return ""
	}
	tag, err := hash(&canceledReader{h.ctx.Err, f}, id.size)
	if err != nil {
		return ""
	}
	if info, err = f.Stat(); err != nil || identify(info) != id {
		return ""
	}
	return tag
}

// canceledReader is r until ctx ends.
type canceledReader struct {
	err func() error // of ctx
	r   io.Reader
}

func (c *canceledReader) Read(p []byte) (int, error) {
	if err := c.err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
