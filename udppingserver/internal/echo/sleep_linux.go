package echo

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep sleeps for d without rounding it up to the next millisecond.
func sleep(d time.Duration) {
	if d > 0 {
		t := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&t, nil) // the caller looks at the clock again
	}
}
