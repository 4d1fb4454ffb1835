package store

// sieve is a bounded queue that evicts by SIEVE: one list in order of arrival,
// one mark for each use, and a hand that moves from old to new, takes marks
// away and stops at the first node without one. On skewed traffic that finds
// what an LRU list does and more, and a use moves nothing.
//
// Nodes are told apart by number and hold no pointers unless T does, so that a
// million of them cost the garbage collector nothing. It is not locked.
type sieve[T any] struct {
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

func newSieve[T any]() *sieve[T] {
	return &sieve[T]{free: none, newest: none, oldest: none, hand: none}
}

func (q *sieve[T]) at(i int32) *node[T] { return &q.chunks[i/sieveChunk][i%sieveChunk] }

// get returns the value of node i, which may be changed in place.
func (q *sieve[T]) get(i int32) *T { return &q.at(i).value }

// use marks node i as used.
func (q *sieve[T]) use(i int32) { q.at(i).used = true }

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
	*q.at(i) = node[T]{newer: none, older: q.newest, value: value}
	if q.newest != none {
		q.at(q.newest).newer = i
	} else {
		q.oldest = i
	}
	q.newest = i
	q.count++
	return i
}

// remove removes node i, whose number is then free for another.
func (q *sieve[T]) remove(i int32) {
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
	*n = node[T]{older: q.free}
	q.free = i
	q.count--
}

// victim returns the node to evict next, or none of an empty queue. It stays
// until it is removed.
func (q *sieve[T]) victim() int32 {
	if q.count == 0 {
		return none
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
