package store

// sieve is a bounded queue that evicts by SIEVE: one list in order of arrival,
// one mark for each use, and a hand that moves from old to new, takes marks
// away and stops at the first node without one. On skewed traffic that finds
// what an LRU list does and more, and a use moves nothing. Courses ask for LRU
// and look at what is gone: with lru a use makes a node the newest, and the
// oldest goes.
//
// Nodes are told apart by number and hold no pointers unless T does, so that a
// million of them cost the garbage collector nothing. It is not locked.
type sieve[T any] struct {
	lru    bool
	chunks []*[sieveChunk]node[T]
	made   int32 // nodes ever made
	free   int32 // a list through older
	newest int32
	oldest int32
	hand   int32
	count  int
}

const (
	sieveChunk = 4096
	none       = -1 // no node
)

type node[T any] struct {
	newer, older int32
	used         bool
	value        T
}

func newSieve[T any](lru bool) *sieve[T] {
	return &sieve[T]{lru: lru, free: none, newest: none, oldest: none, hand: none}
}

func (q *sieve[T]) at(i int32) *node[T] { return &q.chunks[i/sieveChunk][i%sieveChunk] }

// get returns the value of node i, which may be changed in place.
func (q *sieve[T]) get(i int32) *T { return &q.at(i).value }

// use marks node i as used.
func (q *sieve[T]) use(i int32) {
	if q.lru {
		q.unlink(i)
		q.link(i)
		return
	}
	q.at(i).used = true
}

// add adds a node as the newest and returns its number.
func (q *sieve[T]) add(value T) int32 {
	i := q.free
	if i != none {
		q.free = q.at(i).older
	} else {
		i = q.made
		q.made++
		if int(i/sieveChunk) == len(q.chunks) {
			q.chunks = append(q.chunks, new([sieveChunk]node[T]))
		}
	}
	*q.at(i) = node[T]{value: value}
	q.link(i)
	q.count++
	return i
}

// link makes node i, which is in no list, the newest.
func (q *sieve[T]) link(i int32) {
	n := q.at(i)
	n.newer, n.older = none, q.newest
	if q.newest != none {
		q.at(q.newest).newer = i
	} else {
		q.oldest = i
	}
	q.newest = i
}

// remove removes node i, whose number is then free for another.
func (q *sieve[T]) remove(i int32) {
	q.unlink(i)
	*q.at(i) = node[T]{older: q.free}
	q.free = i
	q.count--
}

// unlink takes node i out of the list.
func (q *sieve[T]) unlink(i int32) {
	n := q.at(i)
	if q.hand == i {
		q.hand = n.newer
	}
	if n.newer != none {
		q.at(n.newer).older = n.older
	} else {
		q.newest = n.older
	}
	if n.older != none {
		q.at(n.older).newer = n.newer
	} else {
		q.oldest = n.newer
	}
}

// victim returns the node to evict next, or none of an empty queue. It stays
// until it is removed.
func (q *sieve[T]) victim() int32 {
	if q.count == 0 {
		return none
	}
	if q.lru {
		return q.oldest
	}
	for {
		if q.hand == none {
			q.hand = q.oldest
		}
		n := q.at(q.hand)
		if !n.used {
			return q.hand
		}
		n.used = false
		q.hand = n.newer
	}
}
