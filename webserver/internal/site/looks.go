package site

import (
	"sync/atomic"
	"time"
)

// looks is what is known of a resource's files without looking at them: that they
// give notice of changes, and what the tree's state was when they were last looked
// at. Files that have been found unchanged a few times are watched from then on.
type looks struct {
	state atomic.Uint64 // 0 while they are not watched
	last  atomic.Int64  // ns since 1970
	equal atomic.Int32  // how often they were as before while not watched
}

const (
	// watchAfter keeps files that change all the time, or are asked for seldom, from
	// being watched, which costs as much as looking at them some ten times.
	watchAfter = 16
	// watchAgain is how often more after that failed.
	watchAgain = 10_000
	// lookAgain is how long a state that has not changed is relied on. What a program
	// writes to memory that is mapped from a file, and what is mounted over a folder,
	// gives no notice. (The former shows in the file's times not at once either.)
	lookAgain = 100 * time.Millisecond
)

// watch returns the state of the tree, if the files are being watched from now on.
func (l *looks) watch(t tree, files []named) (state uint64) {
	if l.equal.Add(1) < watchAfter {
		return 0
	}
	l.equal.Store(0)
	if state = t.watch(files); state == 0 {
		l.equal.Store(-watchAgain)
	}
	return state
}
