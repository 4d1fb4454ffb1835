package store

import (
	"container/list"
	"fmt"
	"math/rand/v2"
	"testing"
)

// request is one of a trace: a URL by its number.
type request struct{ n, size int }

// zipfTrace returns the same requests each time: a few URLs get most of them.
func zipfTrace(count int) []request {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 8, 4000)
	trace := make([]request, count)
	for i := range trace {
		n := int(zipf.Uint64())
		trace[i] = request{n, 200 + n*n%30000}
	}
	return trace
}

// idealLRU returns how many requests find their URL in a list that evicts the
// least recently used and takes no more than the bodies' bytes, block, say, at a
// time: no disk could do better with that rule.
func idealLRU(trace []request, limit, block int) (hits int) {
	place := map[int]*list.Element{}
	used, queue := 0, list.New()
	cost := func(size int) int { return (size + block - 1) / block * block }
	for _, q := range trace {
		if e := place[q.n]; e != nil {
			hits++
			queue.MoveToFront(e)
			continue
		}
		place[q.n] = queue.PushFront(q)
		for used += cost(q.size); used > limit; {
			oldest, _ := queue.Remove(queue.Back()).(request)
			delete(place, oldest.n)
			used -= cost(oldest.size)
		}
	}
	return hits
}

func TestIdealLRU(t *testing.T) {
	var trace []request
	for _, n := range []int{1, 2, 1, 3, 1, 2, 4, 3} { // 2 goes for 3, 3 for 2, 1 for 4
		trace = append(trace, request{n, 10})
	}
	if n := idealLRU(trace, 20, 1); n != 2 {
		t.Errorf("%d hits, want 2", n)
	}
}

// The disk finds more of skewed traffic than a list of the least recently used
// would, although it also has to hold heads, folders and what is being written.
func TestMoreHitsThanLRU(t *testing.T) {
	const limit = 4 << 20
	trace := zipfTrace(6000)
	d := openDisk(t, DiskOptions{Size: limit, Memory: 1, Small: 1 << 20})
	hits := 0
	for _, q := range trace {
		key := fmt.Sprintf("http://a/%d", q.n)
		if len(lookup(t, d, key)) == 1 {
			hits++
			continue
		}
		if _, err := commit(t, d, key, storedFor(key, 1), make([]byte, q.size)); err != nil {
			t.Fatal(err)
		}
		d.Flush()
	}
	ours, bodies, blocks := ratio(hits, trace), ratio(idealLRU(trace, limit, 1), trace), ratio(idealLRU(trace, limit, blockSize), trace)
	t.Logf("hit ratio %.3f; an ideal LRU has %.3f where only bodies count, and %.3f in blocks", ours, bodies, blocks)
	if ours <= bodies {
		t.Errorf("hit ratio %.3f, not above the %.3f of an ideal LRU", ours, bodies)
	}
}

func ratio(hits int, trace []request) float64 { return float64(hits) / float64(len(trace)) }
