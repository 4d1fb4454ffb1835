package store

import (
	"errors"
	"slices"
	"sync"
)

// Small responses are in memory at once and on disk a moment later, so that no
// client waits for a disk. What waits is bounded; when a disk cannot keep up,
// what does not fit stays in memory alone.
const (
	maxPending      = 4096     // responses
	maxPendingBytes = 32 << 20 // octets of body
)

var errBehind = errors.New("the disk cannot keep up")

// pending are the entries that are yet to be written. All but take are called
// with the key locked.
type pending struct {
	mu    sync.Mutex
	byKey map[primary][]*Entry
	bytes int64
	queue chan name
	empty sync.Cond
}

func (p *pending) init() {
	p.byKey = map[primary][]*Entry{}
	p.queue = make(chan name, maxPending)
	p.empty.L = &p.mu
}

// add queues e in the place of one of its name; false if there is no room.
func (p *pending) add(e *Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+e.Size > maxPendingBytes {
		return false
	}
	key := e.name.primary()
	list := p.byKey[key]
	if i := slices.IndexFunc(list, func(old *Entry) bool { return old.name == e.name }); i >= 0 {
		p.bytes += e.Size - list[i].Size
		list[i] = e
		return true
	}
	select {
	case p.queue <- e.name:
	default:
		return false
	}
	p.byKey[key] = append(list, e)
	p.bytes += e.Size
	return true
}

// under returns the entries under a key.
func (p *pending) under(key primary) []*Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.byKey[key])
}

func (p *pending) has(key primary) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byKey[key]) > 0
}

// replace puts updated in the place of old; false if old does not wait.
func (p *pending) replace(old, updated *Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.byKey[old.name.primary()]
	i := slices.Index(list, old)
	if i >= 0 {
		list[i] = updated
	}
	return i >= 0
}

// get returns the entry of a name, nil if it need not be written any more.
func (p *pending) get(n name) *Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.byKey[n.primary()]
	if i := slices.IndexFunc(list, func(e *Entry) bool { return e.name == n }); i >= 0 {
		return list[i]
	}
	return nil
}

// remove forgets the entry of a name.
func (p *pending) remove(n name) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := n.primary()
	list := p.byKey[key]
	i := slices.IndexFunc(list, func(e *Entry) bool { return e.name == n })
	if i < 0 {
		return
	}
	p.bytes -= list[i].Size
	if list = slices.Delete(list, i, i+1); len(list) > 0 {
		p.byKey[key] = list
	} else if delete(p.byKey, key); len(p.byKey) == 0 {
		p.empty.Broadcast()
	}
}

// Flush waits until everything that is stored is on disk, as far as the disk
// takes it.
func (d *Disk) Flush() {
	d.pending.mu.Lock()
	defer d.pending.mu.Unlock()
	for len(d.pending.byKey) > 0 {
		d.pending.empty.Wait()
	}
}

// write writes what is pending, until the store is closed and all is written.
func (d *Disk) write() {
	for {
		select {
		case n := <-d.pending.queue:
			d.writeOne(n)
			continue
		default:
		}
		select {
		case n := <-d.pending.queue:
			d.writeOne(n)
		case <-d.stop:
			if len(d.pending.queue) == 0 {
				return
			}
		}
	}
}

func (d *Disk) writeOne(n name) {
	mu := d.keyLock(n.primary())
	mu.Lock()
	if e := d.pending.get(n); e != nil {
		w := &diskWriter{disk: d, n: e.Size}
		w.place.copyFrom(&e.place)
		body, _ := e.Bytes()
		// A fault has been logged: the entry stays in memory alone.
		if w.settle(e, w.front(e, encodeSlot(1, encodeHead(e.Head)), body)) != nil && d.index.remove(n) {
			d.removeFile(d.path(n)) // what is there is out of date
		}
		d.pending.remove(n)
	}
	mu.Unlock()
	d.evict(d.size)
}
