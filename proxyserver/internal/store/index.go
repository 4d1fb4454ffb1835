package store

// file is a file in the index.
type file struct {
	name name
	head int32 // blocks of its head file; 0 if it has none
	next int32 // the next file under the same primary
}

// blocks returns what the file takes, head file included.
func (f *file) blocks() int64 { return f.name.blocks() + int64(f.head) }

// index knows every file, in some 80 bytes each and without a pointer, and what
// to evict next. It is guarded by memory.mu.
type index struct {
	first  map[primary]int32
	queue  *sieve[file]
	blocks int64
}

func newIndex(lru bool) *index {
	return &index{first: map[primary]int32{}, queue: newSieve[file](lru)}
}

// add adds a file.
func (x *index) add(n name) {
	p := n.primary()
	next, ok := x.first[p]
	if !ok {
		next = none
	}
	x.first[p] = x.queue.add(file{name: n, next: next})
	x.blocks += n.blocks()
}

// find returns the file of that name, nil if there is none.
func (x *index) find(n name) *file {
	for f := range x.under(n.primary()) {
		if f.name == n {
			return f
		}
	}
	return nil
}

// under yields the files under a primary, the last added first.
func (x *index) under(p primary) func(yield func(*file) bool) {
	return func(yield func(*file) bool) {
		i, ok := x.first[p]
		for ok && i != none {
			f := x.queue.get(i)
			i = f.next
			if !yield(f) {
				return
			}
		}
	}
}

// files returns copies of the files under a primary.
func (x *index) files(p primary) (files []file) {
	for f := range x.under(p) {
		files = append(files, *f)
	}
	return files
}

// use marks the files under a primary as used.
func (x *index) use(p primary) {
	i, ok := x.first[p]
	for ok && i != none {
		x.queue.use(i)
		i = x.queue.get(i).next
	}
}

// setHead notes that a file has a head file of so many blocks, and returns what
// it had before.
func (x *index) setHead(f *file, blocks int64) (before int64) {
	before = int64(f.head)
	f.head = int32(blocks)
	x.blocks += blocks - before
	return before
}

// remove removes a file and returns it; ok is false if it was not there.
func (x *index) remove(n name) (gone file, ok bool) {
	p := n.primary()
	previous := int32(none)
	i, ok := x.first[p]
	for ok && i != none {
		f := x.queue.get(i)
		if f.name != n {
			previous, i = i, f.next
			continue
		}
		switch {
		case previous != none:
			x.queue.get(previous).next = f.next
		case f.next != none:
			x.first[p] = f.next
		default:
			delete(x.first, p)
		}
		gone = *f
		x.queue.remove(i)
		x.blocks -= gone.blocks()
		return gone, true
	}
	return file{}, false
}

// victim returns the file to evict next; ok is false if there is none.
func (x *index) victim() (n name, ok bool) {
	i := x.queue.victim()
	if i == none {
		return n, false
	}
	return x.queue.get(i).name, true
}
