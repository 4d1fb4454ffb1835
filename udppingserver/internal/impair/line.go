package impair

import (
	"container/heap"
	"time"
)

// Line is a delay line: things go in with the time at which they are due, and
// come out in the order of those times. It holds a bounded number of them. The
// clock is the caller's. The zero value holds nothing; set Limit first.
type Line[T any] struct {
	Limit int // most things held at a time

	waiting queue[T]
	pushed  uint64
}

// Push puts v in, to come out at due. It reports false, and takes nothing, if
// the line is full.
func (l *Line[T]) Push(due time.Time, v T) bool {
	if len(l.waiting) >= l.Limit {
		return false
	}
	l.pushed++
	heap.Push(&l.waiting, waiter[T]{due, l.pushed, v})
	return true
}

// Pop takes out the thing that has been due longest at the time now. Things due
// at the same time come out in the order in which they went in.
func (l *Line[T]) Pop(now time.Time) (v T, ok bool) {
	if len(l.waiting) == 0 || l.waiting[0].due.After(now) {
		return v, false
	}
	return heap.Pop(&l.waiting).(waiter[T]).v, true
}

// Next returns the time at which something will be due next, and false if the
// line is empty.
func (l *Line[T]) Next() (due time.Time, ok bool) {
	if len(l.waiting) == 0 {
		return due, false
	}
	return l.waiting[0].due, true
}

type waiter[T any] struct {
	due    time.Time
	number uint64
	v      T
}

type queue[T any] []waiter[T]

func (q queue[T]) Len() int { return len(q) }
func (q queue[T]) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].number < q[j].number
	}
	return q[i].due.Before(q[j].due)
}
func (q queue[T]) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue[T]) Push(x any)   { *q = append(*q, x.(waiter[T])) }
func (q *queue[T]) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = waiter[T]{}
	*q = (*q)[:last]
	return w
}
